//! A home of objects in a bucket of any S3-compatible service.
//!
//! Never knows: which vendor it talks to, or what the objects mean.
//! Invariant: only one of many `put_new` of one name says `Ok`, whatever the network does: each carries a random mark,
//! and when the service says that the name is taken, the mark tells whether it was ourselves in an earlier attempt.

mod place;
mod said;

use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, Error, GetOptions, GetRange, GetResult, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, PutPayload, PutPayloadMut, RetryConfig,
};
use tokio::runtime::Runtime;

pub use self::place::{Place, PlaceError};
use self::said::failed;
use crate::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};
use crate::random::Random;
use crate::real::system::SystemRandom;

/// Objects larger than this are uploaded in parts, where that is possible.
const LARGE: u64 = 16 << 20;
/// The size of such a part, in bytes, unless there would be too many.
const PART: u64 = 8 << 20;
/// Services take at most 10,000 parts.
const PARTS: u64 = 9_000;
/// Parts under way at once: with `PART` this bounds the memory that a large `put` takes.
const AT_ONCE: usize = 4;
/// Before more than this is uploaded on condition that the name is free, a look is cheaper than a refusal. Some
/// services also refuse in the middle of an upload by cutting the line.
const PRECIOUS: usize = 1 << 20;
/// How often a conditional put that met another one is tried again.
const TRIES: u32 = 8;
/// The name under which an object carries its mark.
const MARK: &str = "backstay-put";

/// Who asks. Without one, the environment is asked as other S3 programs do: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, a web identity, or the machine's own role.
#[derive(Clone)]
pub struct Credentials {
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// Of a temporary key.
    pub session_token: Option<String>,
}

/// Objects in a bucket.
///
/// Guarantees beyond [`Objects`]: what is open fails with `NotFound` once it was replaced. A `put` takes at most 32 MiB
/// of memory besides its parts, a `put_new` a copy of them. A service without conditional puts is found out before the
/// first `put_new`, which then fails.
///
/// Non-guarantees: when the process dies in a large `put`, the service may keep an unfinished upload, which costs space
/// until the bucket's lifecycle rule for unfinished uploads removes it.
///
/// Transient failures are tried again for as long as [`Place::patience`] says. To be called from plain threads, not
/// from asynchronous tasks.
pub struct S3 {
    inner: Arc<Inner>,
}

struct Inner {
    store: AmazonS3,
    prefix: String,
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
    /// Set once the service has shown that it knows conditional puts.
    proved: OnceLock<()>,
}

/// Why a bucket could not be opened as a home.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The URL is not one of a home.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The service could not be reached, or refused.
    #[error("the bucket {bucket} could not be used: {why}")]
    Refused {
        /// Which bucket.
        bucket: String,
        /// What the service said, in one sentence.
        why: String,
    },
}

impl S3 {
    /// Opens the home that a URL such as `s3://bucket/prefix?endpoint=https://host` names, and looks whether it answers.
    /// What the URL does not say the environment does, see [`Place`].
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn open(url: &str) -> Result<S3, S3Error> {
        S3::open_place(&Place::parse(url)?.with_environment(), None)
    }

    /// Opens a home. Without `credentials` the environment is asked for them.
    ///
    /// # Errors
    /// [`S3Error::Refused`].
    pub fn open_place(place: &Place, credentials: Option<&Credentials>) -> Result<S3, S3Error> {
        let refused = |why: String| S3Error::Refused { bucket: place.bucket.clone(), why };
        let store = store(place, credentials).map_err(|e| refused(said::sentence(&e)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|e| refused(e.to_string()))?;
        let inner = Inner { store, prefix: place.prefix.clone(), runtime: Some(runtime), proved: OnceLock::new() };
        inner.look().map_err(|e| refused(said::sentence(&e)))?;
        Ok(S3 { inner: Arc::new(inner) })
    }

    fn put_conditionally(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        let payload = payload(parts);
        if payload.content_length() > PRECIOUS && self.inner.mark(key).is_ok() {
            return Err(ObjectError::Exists(key.clone()));
        }
        let mark = random_name();
        for _ in 0..TRIES {
            let attributes = [(Attribute::Metadata(MARK.into()), mark.clone())];
            let options = PutOptions {
                mode: PutMode::Create,
                attributes: Attributes::from_iter(attributes),
                ..PutOptions::default()
            };
            let path = self.inner.path(key);
            let put = self.inner.store.put_opts(&path, payload.clone(), options);
            let Err(error) = self.inner.run(put) else {
                return Ok(());
            };
            let taken = matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
            match self.inner.mark(key) {
                Ok(found) if found.as_deref() == Some(&mark) => return Ok(()),
                Ok(_) => return Err(ObjectError::Exists(key.clone())),
                // The service saw another put or a deletion under way, and none of them left anything.
                Err(Error::NotFound { .. }) if taken => {}
                Err(e) if taken => return Err(failed(key, &e)),
                Err(_) => return Err(failed(key, &error)),
            }
        }
        let why = "others write and delete this object all the time";
        Err(said::io(key, why.to_string()))
    }

    /// Makes sure, once, that the service knows conditional puts.
    fn prove(&self) -> Result<(), ObjectError> {
        if self.inner.proved.get().is_some() {
            return Ok(());
        }
        let Some(key) = Key::new(format!("probe-{}", random_name())) else { unreachable!("a name") };
        let second = self.put_conditionally(&key, &[b"first"]).and_then(|()| {
            let second = self.put_conditionally(&key, &[b"second"]);
            self.delete(&key)?;
            Ok(second)
        })?;
        match second {
            Err(ObjectError::Exists(_)) => {
                self.inner.proved.get_or_init(|| ());
                Ok(())
            }
            Err(e) => Err(e),
            Ok(()) => {
                let why = "this S3 service replaces objects even when asked not to (it ignores If-None-Match), \
                           so it cannot hold a store";
                Err(said::io(&key, why.to_string()))
            }
        }
    }

    fn put_in_parts(&self, key: &Key, parts: &[&[u8]], total: u64) -> Result<(), ObjectError> {
        let size = PART.max(total.div_ceil(PARTS));
        let upload = async {
            let mut upload = self.inner.store.put_multipart(&self.inner.path(key)).await?;
            let sent = {
                let cut = stream::iter(cut(parts, size as usize));
                let send = cut.map(|part| upload.put_part(payload(&part)));
                send.buffer_unordered(AT_ONCE).try_collect::<()>().await
            };
            let done = match sent {
                Ok(()) => upload.complete().await.map(|_| ()),
                failed => failed,
            };
            if done.is_err() {
                // Best effort: what is left behind only takes space, and the first error is the one that matters.
                let _left_behind = upload.abort().await;
            }
            done
        };
        self.inner.run(upload).map_err(|e| failed(key, &e))
    }
}

impl Inner {
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("nobody calls what is being dropped"),
        }
    }

    fn path(&self, key: &Key) -> Path {
        Path::from(format!("{}{key}", self.prefix))
    }

    /// Asks for something, to see whether the bucket is there and we are let in.
    fn look(&self) -> Result<(), Error> {
        let prefix = Path::from(format!("{}backstay", self.prefix));
        self.run(self.store.list(Some(&prefix)).next()).transpose().map(|_| ())
    }

    /// The mark that an object carries.
    fn mark(&self, key: &Key) -> Result<Option<String>, Error> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let about = self.run(self.store.get_opts(&self.path(key), options))?;
        let mark = about.attributes.get(&Attribute::Metadata(MARK.into()));
        Ok(mark.map(|mark| mark.as_ref().to_string()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Does not wait: dropping a runtime the plain way would panic in an asynchronous task.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Objects for S3 {
    fn abilities(&self) -> Abilities {
        Abilities { local: false }
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if total > LARGE {
            return self.put_in_parts(key, parts, total);
        }
        let path = self.inner.path(key);
        let put = self.inner.store.put(&path, payload(parts));
        self.inner.run(put).map(|_| ()).map_err(|e| failed(key, &e))
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.prove().map_err(|e| match e {
            ObjectError::Denied { source, .. } => ObjectError::Denied { key: key.clone(), source },
            ObjectError::Io { source, .. } => ObjectError::Io { key: key.clone(), source },
            ObjectError::NoSpace(_) => ObjectError::NoSpace(key.clone()),
            other => said::io(key, other.to_string()),
        })?;
        self.put_conditionally(key, parts)
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        let path = self.inner.path(key);
        let get = async { self.inner.store.get(&path).await?.bytes().await };
        self.inner.run(get).map(Vec::from).map_err(|e| failed(key, &e))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        let about = self.inner.run(self.inner.store.head(&self.inner.path(key)));
        let about = about.map_err(|e| failed(key, &e))?;
        Ok(Box::new(S3Object { home: self.inner.clone(), key: key.clone(), size: about.size, e_tag: about.e_tag }))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        let path = self.inner.path(prefix);
        let all: Result<Vec<_>, _> = self.inner.run(self.inner.store.list(Some(&path)).try_collect());
        let named = all.map_err(|e| failed(prefix, &e))?.into_iter().filter_map(|about| {
            let name = about.location.as_ref().strip_prefix(&self.inner.prefix)?;
            // What has no name of ours is not ours.
            Some(Listed { key: Key::new(name)?, size: about.size })
        });
        let mut listed: Vec<Listed> = named.collect();
        listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        match self.inner.run(self.inner.store.delete(&self.inner.path(key))) {
            Ok(()) => Ok(()),
            Err(e) => match failed(key, &e) {
                ObjectError::NotFound(_) => Ok(()),
                failed => Err(failed),
            },
        }
    }

    fn settle(&self, _: &Key) -> Result<(), ObjectError> {
        Ok(()) // a server shows what it keeps
    }
}

/// An object that is asked for piece by piece.
struct S3Object {
    home: Arc<Inner>,
    key: Key,
    size: u64,
    /// Which version was opened.
    e_tag: Option<String>,
}

impl S3Object {
    fn get(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let options =
            GetOptions { range: Some(GetRange::Bounded(range)), if_match: self.e_tag.clone(), ..GetOptions::default() };
        let path = self.home.path(&self.key);
        self.home.run(async {
            let found: GetResult = self.home.store.get_opts(&path, options).await?;
            // Not every service heeds If-Match.
            if found.meta.e_tag != self.e_tag {
                return Err(Error::NotFound { path: path.to_string(), source: "it was replaced".into() });
            }
            found.bytes().await.map(Vec::from)
        })
    }
}

impl Object for S3Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| ObjectError::Short(self.key.clone()))?;
        if buf.is_empty() {
            return Ok(());
        }
        let bytes = match self.get(offset..end) {
            Err(Error::Precondition { .. }) => return Err(ObjectError::NotFound(self.key.clone())),
            bytes => bytes.map_err(|e| failed(&self.key, &e))?,
        };
        if bytes.len() != buf.len() {
            return Err(said::io(&self.key, "the service sent another number of bytes than asked for".to_string()));
        }
        buf.copy_from_slice(&bytes);
        Ok(())
    }
}

fn store(place: &Place, credentials: Option<&Credentials>) -> Result<AmazonS3, Error> {
    let mut builder = match credentials {
        None => AmazonS3Builder::from_env(),
        Some(ours) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&ours.access_key_id)
                .with_secret_access_key(&ours.secret_access_key);
            match &ours.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
    };
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let client = ClientOptions::new()
        .with_allow_http(place.allow_http)
        .with_connect_timeout(Duration::from_secs(10).min(place.patience))
        // Generous: a part must get through a slow line.
        .with_read_timeout(minutes(5))
        .with_timeout(minutes(30));
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: minutes(1) / 4, base: 2. };
    builder
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_virtual_hosted_style_request(place.virtual_hosted)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_bulk_delete(true)
        .with_client_options(client)
        .with_retry(RetryConfig { backoff, max_retries: 20, retry_timeout: place.patience })
        .build()
}

fn random_name() -> String {
    let mut random = [0; 16];
    SystemRandom.fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A copy of `parts`, to be sent.
fn payload(parts: &[&[u8]]) -> PutPayload {
    let mut payload = PutPayloadMut::new().with_block_size(1 << 20);
    parts.iter().for_each(|part| payload.extend_from_slice(part));
    payload.freeze()
}

/// Cuts what `parts` are together into pieces of `size` bytes; the last one has the rest.
fn cut<'a>(parts: &[&'a [u8]], size: usize) -> Vec<Vec<&'a [u8]>> {
    let (mut pieces, mut room) = (Vec::new(), 0);
    for mut part in parts.iter().copied() {
        while !part.is_empty() {
            if room == 0 {
                pieces.push(Vec::new());
                room = size;
            }
            let (head, tail) = part.split_at(part.len().min(room));
            pieces.last_mut().into_iter().for_each(|piece: &mut Vec<_>| piece.push(head));
            room -= head.len();
            part = tail;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_without_loss() {
        let body: Vec<u8> = (0..=99).collect();
        for size in [1, 7, 30, 99, 100, 101] {
            let parts = [&body[..10], &[], &body[10..11], &body[11..]];
            let pieces = cut(&parts, size);
            assert!(pieces.iter().rev().skip(1).all(|piece| piece.concat().len() == size));
            assert_eq!(pieces.iter().flatten().copied().collect::<Vec<_>>().concat(), body);
            assert_eq!(pieces.len(), 100_usize.div_ceil(size));
        }
        assert!(cut(&[], 5).is_empty());
    }
}
