//! An export as a volume, read over as many connections as there are readers.
//!
//! Never knows: whether what it reads holds still; it is told when that ends ([`Doom`]).

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backstay_env::volume::{Content, Span, Volume, check_range};

use super::{ALLOCATION, Client, Dirty, NbdError};

/// A server that is silent for so long is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);
/// What is asked of at once without reading it.
const WINDOW: u64 = 1 << 30;
/// A range that reads as zeros, in [`ALLOCATION`].
const ZERO: u32 = 2;
/// "No such device": who reads takes the whole disk for gone, not one page of it.
const GONE: i32 = 19;

/// Set when what an export shows holds still no more: every read fails from then on.
#[derive(Clone, Debug, Default)]
pub struct Doom(Arc<AtomicBool>);

impl Doom {
    /// Ends all reading.
    pub fn come(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it came.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// An export.
pub struct NbdVolume {
    path: PathBuf,
    export: String,
    /// What is asked for beside [`ALLOCATION`]: a bitmap's context.
    bitmap: Option<String>,
    size: u64,
    sector: u32,
    idle: Mutex<Vec<Client<UnixStream>>>,
    doom: Doom,
}

impl NbdVolume {
    /// Connects. `bitmap` is the name of one that the export shows.
    ///
    /// # Errors
    /// [`NbdError`].
    pub fn connect(
        path: &Path,
        export: &str,
        (bitmap, sector): (Option<&str>, u32),
        doom: Doom,
    ) -> Result<NbdVolume, NbdError> {
        let bitmap = bitmap.map(|name| format!("qemu:dirty-bitmap:{name}"));
        let mut volume = NbdVolume {
            path: path.to_owned(),
            export: export.to_owned(),
            bitmap,
            size: 0,
            sector,
            idle: Mutex::default(),
            doom,
        };
        let client = volume.another()?;
        if volume.bitmap.is_some() && !client.has_context(1) {
            return Err(NbdError::Declined("the bitmap is not shown"));
        }
        volume.size = client.size();
        volume.give_back(client);
        Ok(volume)
    }

    /// The ranges that the bitmap marks, a piece at a time.
    pub fn dirty(&self) -> Dirty<'_> {
        Dirty::new(self)
    }

    fn another(&self) -> Result<Client<UnixStream>, NbdError> {
        let stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let contexts: Vec<&str> = std::iter::once(ALLOCATION).chain(self.bitmap.as_deref()).collect();
        Client::begin(stream, &self.export, &contexts)
    }

    fn give_back(&self, client: Client<UnixStream>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    /// Does something on a connection of its own.
    pub(super) fn on<T>(&self, work: impl FnOnce(&mut Client<UnixStream>) -> Result<T, NbdError>) -> io::Result<T> {
        if self.doom.has_come() {
            return Err(io::Error::from_raw_os_error(GONE));
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let done = match idle {
            Some(client) => Ok(client),
            None => self.another().and_then(|client| match client.size() == self.size {
                true => Ok(client),
                false => Err(NbdError::Protocol("the export changed its size")),
            }),
        };
        let done = done.and_then(|mut client| {
            let done = work(&mut client);
            if matches!(done, Ok(_) | Err(NbdError::Said(_))) {
                self.give_back(client);
            }
            done
        });
        done.map_err(|error| match error {
            NbdError::Said(error) => io::Error::other(format!("the hypervisor answers with error {error}")),
            _ => {
                self.doom.come();
                io::Error::from_raw_os_error(GONE)
            }
        })
    }
}

impl Volume for NbdVolume {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        self.on(|client| client.read(offset, buf))
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size, offset, len)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let asked = len.min(WINDOW);
        let told = self.on(|client| match client.has_context(0) {
            true => client.status(0, offset, asked as u32).map(Some),
            false => Ok(None),
        });
        // What cannot be told is read.
        let unknown = vec![Span { offset, len: asked, content: Content::Data }];
        let told = match told {
            Err(gone) if gone.raw_os_error() == Some(GONE) => return Err(gone),
            told => told.unwrap_or_default(),
        };
        let Some(extents) = told else { return Ok(unknown) };
        let mut at = offset;
        let spans = extents.iter().map(|extent| {
            let content = if extent.flags & ZERO != 0 { Content::Hole } else { Content::Data };
            let span = Span { offset: at, len: extent.len, content };
            at += extent.len;
            span
        });
        Ok(spans.collect())
    }
}

impl Drop for NbdVolume {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        idle.drain(..).for_each(Client::end);
    }
}
