//! The S3 home against a server that nobody here wrote: s3s-fs, in this process.

use std::error::Error as _;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::real::s3::{Credentials, Place, S3, S3Error};
use backstay_env::suite;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

type Answer = Result<Response<s3s::Body>, s3s::HttpError>;

/// What a server does before it answers, or instead.
#[derive(Default)]
struct Quirks {
    /// Requests that still get an error 503 instead of an answer.
    failing: AtomicUsize,
    /// Conditional requests that are carried out, but answered with an error 503.
    forgetting: AtomicUsize,
    /// Where objects lie, if conditional puts are to replace them as unconditional ones do.
    unconditional: Option<PathBuf>,
    /// Requests so far.
    requests: AtomicUsize,
}

struct Server {
    address: SocketAddr,
    quirks: Arc<Quirks>,
    dir: tempfile::TempDir,
    runtime: Option<Runtime>,
}

impl Server {
    fn new() -> Server {
        Server::with(Quirks::default(), tempfile::tempdir().unwrap())
    }

    fn with(quirks: Quirks, dir: tempfile::TempDir) -> Server {
        std::fs::create_dir(dir.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        builder.set_auth(s3s::auth::SimpleAuth::from_single("us", "secret"));
        let (service, quirks) = (builder.build(), Arc::new(quirks));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, service, quirks.clone()));
        Server { address, quirks, dir, runtime: Some(runtime) }
    }

    fn place(&self, prefix: &str) -> Place {
        Place::parse(&format!("s3://bucket/{prefix}?endpoint=http://{}&patience=10", self.address)).unwrap()
    }

    fn home(&self, prefix: &str) -> S3 {
        S3::open_place(&self.place(prefix), Some(&us("secret"))).unwrap()
    }

    fn requests(&self) -> usize {
        self.quirks.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn us(secret: &str) -> Credentials {
    Credentials { access_key_id: "us".to_string(), secret_access_key: secret.to_string(), session_token: None }
}

async fn serve(listener: tokio::net::TcpListener, service: S3Service, quirks: Arc<Quirks>) {
    // The server looks whether an object is there and then writes it, and writes an object and then what it knows of it.
    // Real services do that at once; this lock does it for this one.
    let lock = Arc::new(RwLock::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, quirks, lock) = (service.clone(), quirks.clone(), lock.clone());
        let answer = move |request| answer(request, service.clone(), quirks.clone(), lock.clone());
        tokio::spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            let served = connection.serve_connection(TokioIo::new(socket), service_fn(answer)).await;
            served.map_err(|e| eprintln!("a connection ended: {e}"))
        });
    }
}

fn answer(
    request: Request<Incoming>,
    service: S3Service,
    quirks: Arc<Quirks>,
    lock: Arc<RwLock<()>>,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    Box::pin(async move {
        quirks.requests.fetch_add(1, Ordering::SeqCst);
        if take_one(&quirks.failing) {
            return Ok(unavailable());
        }
        let is_conditional = request.headers().contains_key("if-none-match");
        if let Some(dir) = quirks.unconditional.as_ref().filter(|_| is_conditional) {
            // The header is signed, so it stays; what it is about goes instead.
            let object = dir.join(request.uri().path().trim_start_matches('/'));
            assert!(std::fs::remove_file(&object).is_ok() || !object.exists());
        }
        let answered = match *request.method() == Method::GET || *request.method() == Method::HEAD {
            true => {
                let _shared = lock.read().await;
                hyper::service::Service::call(&service, request).await
            }
            false => {
                let _alone = lock.write().await;
                hyper::service::Service::call(&service, request).await
            }
        };
        match is_conditional && take_one(&quirks.forgetting) {
            true => Ok(unavailable()),
            false => answered,
        }
    })
}

fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn unavailable() -> Response<s3s::Body> {
    let body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let mut response = Response::new(s3s::Body::from(body.to_string()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn reason(error: &ObjectError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn suite_on_a_server() {
    let server = Server::new();
    suite::objects(|name| Arc::new(server.home(&format!("some/{name}"))));
}

#[test]
fn a_passing_failure_is_not_seen() {
    let server = Server::new();
    let home = server.home("home");
    home.put_new(&key("a/b"), &[b"x"]).unwrap();
    for operation in 0..6 {
        server.quirks.failing.store(2, Ordering::SeqCst);
        match operation {
            0 => home.put(&key("a/c"), &[b"y"]).unwrap(),
            1 => home.put_new(&key("a/d"), &[b"y"]).unwrap(),
            2 => assert_eq!(home.get(&key("a/b")).unwrap(), b"x"),
            3 => assert_eq!(home.open(&key("a/b")).unwrap().size(), 1),
            4 => assert_eq!(home.list(&key("a")).unwrap().len(), 3),
            _ => home.delete(&key("a/b")).unwrap(),
        }
        assert_eq!(server.quirks.failing.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_put_new_whose_answer_was_lost_knows_itself_again() {
    let server = Server::new();
    let (home, other) = (server.home("home"), server.home("home"));
    home.put_new(&key("a/b"), &[b"x"]).unwrap();
    other.put_new(&key("a/c"), &[b"x"]).unwrap();
    server.quirks.forgetting.store(1, Ordering::SeqCst);
    home.put_new(&key("a/d"), &[b"same"]).unwrap();
    assert_eq!(server.quirks.forgetting.load(Ordering::SeqCst), 0);
    // The same bytes, but not the same writer.
    assert!(matches!(other.put_new(&key("a/d"), &[b"same"]), Err(ObjectError::Exists(_))));
    assert!(matches!(home.put_new(&key("a/d"), &[b"same"]), Err(ObjectError::Exists(_))));
}

#[test]
fn a_service_without_conditional_puts_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let unconditional = Some(dir.path().to_path_buf());
    let server = Server::with(Quirks { unconditional, ..Quirks::default() }, dir);
    let home = server.home("home");
    home.put(&key("a/b"), &[b"x"]).unwrap();
    let refused = home.put_new(&key("a/c"), &[b"x"]).unwrap_err();
    assert!(matches!(&refused, ObjectError::Io { key, .. } if key.as_str() == "a/c"), "{refused:?}");
    assert!(reason(&refused).contains("If-None-Match"), "{refused:?}");
    assert!(matches!(home.get(&key("a/c")), Err(ObjectError::NotFound(_))), "refused before it was written");
    let files: Vec<_> = std::fs::read_dir(server.dir.path().join("bucket/home")).unwrap().flatten().collect();
    assert!(files.iter().all(|file| !file.file_name().to_string_lossy().starts_with("probe")), "{files:?}");
}

#[test]
fn the_service_is_probed_once() {
    let server = Server::new();
    let home = server.home("home");
    let before = server.requests();
    home.put_new(&key("a/b"), &[b"x"]).unwrap();
    let first = server.requests() - before;
    home.put_new(&key("a/c"), &[b"x"]).unwrap();
    assert_eq!((first, server.requests() - before), (5, 6), "two puts, a look and a deletion, then one put each");
}

#[test]
fn what_cannot_be_opened_is_refused_in_one_sentence() {
    let server = Server::new();
    let said = |place: &Place, secret: &str| match S3::open_place(place, Some(&us(secret))) {
        Err(S3Error::Refused { bucket, why }) => format!("{bucket}: {why}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    };
    let place = server.place("home");
    let wrong = said(&place, "wrong");
    assert!(wrong.starts_with("bucket: the service says SignatureDoesNotMatch"), "{wrong}");
    let missing = said(&Place { bucket: "missing".to_string(), ..place.clone() }, "secret");
    assert!(missing.starts_with("missing: the service says NoSuchBucket"), "{missing}");
    let endpoint = Some("http://127.0.0.1:1".to_string());
    let nobody = said(&Place { endpoint, patience: Duration::from_secs(1), ..place }, "secret");
    assert!(nobody.contains("refused") && !nobody.contains('\n'), "{nobody}");
}

#[test]
fn a_bucket_that_vanishes_is_never_an_empty_one() {
    let server = Server::new();
    let home = server.home("home");
    home.put(&key("a/b"), &[b"x"]).unwrap();
    std::fs::remove_dir_all(server.dir.path().join("bucket")).unwrap();
    let listed = home.list(&key("a")).unwrap_err();
    assert!(reason(&listed).contains("NoSuchBucket"), "{listed:?}");
}
