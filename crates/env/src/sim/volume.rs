//! A disk in memory: sparse, with read errors, changes of size, and a life that can end.
//!
//! Never knows: what the bytes mean, real time, real randomness.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::random::Dice;
use crate::volume::{Content, Span, Volume, VolumeMut, check_range};

/// The unit in which a simulated disk takes space.
const PAGE: u64 = 4096;

type Page = Box<[u8; PAGE as usize]>;

/// A simulated disk. What was never written reads as zeros and is a hole.
#[derive(Debug)]
pub struct SimVolume {
    sector_size: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// What a power loss may bring back: pages as they were at the last flush, those changed since.
    before: BTreeMap<u64, Option<Page>>,
    unreadable: Vec<Range<u64>>,
    unwritable: Vec<Range<u64>>,
    has_vanished: bool,
}

impl SimVolume {
    /// An empty disk of `size` bytes, which need not be a multiple of anything, with sectors of 512 bytes.
    pub fn new(size: u64) -> SimVolume {
        SimVolume::with_sectors(size, 512)
    }

    /// An empty disk with sectors of `sector_size` bytes. Access need not be aligned; a power loss tears no sector.
    pub fn with_sectors(size: u64, sector_size: u32) -> SimVolume {
        let state = State {
            size,
            pages: BTreeMap::new(),
            before: BTreeMap::new(),
            unreadable: Vec::new(),
            unwritable: Vec::new(),
            has_vanished: false,
        };
        SimVolume { sector_size, state: Mutex::new(state) }
    }

    /// Writes `count` pages of random bytes to random places, as `seed` says.
    ///
    /// # Panics
    /// When the disk is smaller than a page.
    pub fn scribble(&self, seed: u64, count: u64) {
        let mut state = self.state();
        let mut dice = Dice::seeded(seed);
        let whole = state.size / PAGE;
        for _ in 0..count {
            let mut page = Box::new([0; PAGE as usize]);
            let at = dice.below(whole);
            dice.fill(&mut page[..]);
            state.set_page(at, Some(page));
        }
    }

    /// Makes reads that touch `range` fail, as a bad sector does.
    pub fn make_unreadable(&self, range: Range<u64>) {
        self.state().unreadable.push(range);
    }

    /// Makes writes that touch `range` fail.
    pub fn make_unwritable(&self, range: Range<u64>) {
        self.state().unwritable.push(range);
    }

    /// Ends all failures of ranges.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.unreadable, state.unwritable) = (Vec::new(), Vec::new());
    }

    /// Gives the disk another size; what is cut off is lost.
    pub fn resize(&self, size: u64) {
        let mut state = self.state();
        if size < state.size {
            let last = size.div_ceil(PAGE);
            state.pages.split_off(&last);
            state.before.split_off(&last);
            let kept = (size % PAGE) as usize;
            if let Some(page) = state.pages.get_mut(&(size / PAGE)).filter(|_| kept > 0) {
                page[kept..].fill(0);
            }
        }
        state.size = size;
    }

    /// Unplugs the disk: everything fails with `ENODEV`, until [`SimVolume::plug_in`].
    pub fn vanish(&self) {
        self.state().has_vanished = true;
    }

    /// Plugs the disk in again.
    pub fn plug_in(&self) {
        self.state().has_vanished = false;
    }

    /// The power fails: each sector written since the last flush is, as `seed` says, as it was or as it is.
    pub fn lose_power(&self, seed: u64) {
        let mut state = self.state();
        let mut dice = Dice::seeded(seed);
        let sector = self.sector_size as usize;
        for (at, before) in std::mem::take(&mut state.before) {
            let before = before.unwrap_or_else(|| Box::new([0; PAGE as usize]));
            let mut page = state.pages.remove(&at).unwrap_or_else(|| Box::new([0; PAGE as usize]));
            for start in (0..PAGE as usize).step_by(sector).filter(|_| dice.chance(500_000)) {
                page[start..start + sector].copy_from_slice(&before[start..start + sector]);
            }
            state.pages.insert(at, page);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if the disk is there and `[offset, offset + len)` is inside it.
    fn access(&self, offset: u64, len: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        match state.has_vanished {
            true => Err(io::Error::from_raw_os_error(rustix::io::Errno::NODEV.raw_os_error())),
            false => check_range(state.size, offset, len).map(|()| state),
        }
    }
}

impl State {
    fn set_page(&mut self, at: u64, page: Option<Page>) {
        let before = match page {
            Some(page) => self.pages.insert(at, page),
            None => self.pages.remove(&at),
        };
        self.before.entry(at).or_insert(before);
    }

    /// A page to be changed in part.
    fn page_mut(&mut self, at: u64) -> &mut Page {
        let now = self.pages.get(&at).cloned();
        self.before.entry(at).or_insert(now);
        self.pages.entry(at).or_insert_with(|| Box::new([0; PAGE as usize]))
    }
}

fn refuse(ranges: &[Range<u64>], offset: u64, len: u64) -> io::Result<()> {
    let end = offset + len;
    match ranges.iter().any(|bad| bad.start < end && offset < bad.end) {
        true => Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())),
        false => Ok(()),
    }
}

/// Cuts `[offset, offset + len)` at pages: page, start in it, length, start in the whole.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = (at % PAGE) as usize;
        let n = (PAGE as usize - start).min(len - done);
        let piece = (at / PAGE, start, n, done);
        done += n;
        (n > 0).then_some(piece)
    })
}

impl Volume for SimVolume {
    fn size(&self) -> u64 {
        self.state().size
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let state = self.access(offset, buf.len() as u64)?;
        refuse(&state.unreadable, offset, buf.len() as u64)?;
        for (at, start, n, done) in pages(offset, buf.len()) {
            match state.pages.get(&at) {
                Some(page) => buf[done..done + n].copy_from_slice(&page[start..start + n]),
                None => buf[done..done + n].fill(0),
            }
        }
        Ok(())
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        let state = self.access(offset, len)?;
        let mut spans: Vec<Span> = Vec::new();
        let mut push = |from: u64, to: u64, content: Content| match spans.last_mut() {
            _ if from >= to => {}
            Some(last) if last.content == content => last.len += to - from,
            _ => spans.push(Span { offset: from, len: to - from, content }),
        };
        let (mut at, end) = (offset, offset + len);
        for page in state.pages.range(offset / PAGE..end.div_ceil(PAGE)).map(|(page, _)| *page) {
            let (from, to) = ((page * PAGE).max(offset), ((page + 1) * PAGE).min(end));
            push(at, from, Content::Hole);
            push(from, to, Content::Data);
            at = to;
        }
        push(at, end, Content::Hole);
        Ok(spans)
    }
}

impl VolumeMut for SimVolume {
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut state = self.access(offset, buf.len() as u64)?;
        refuse(&state.unwritable, offset, buf.len() as u64)?;
        for (at, start, n, done) in pages(offset, buf.len()) {
            state.page_mut(at)[start..start + n].copy_from_slice(&buf[done..done + n]);
        }
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.access(offset, len)?;
        refuse(&state.unwritable, offset, len)?;
        let end = offset + len;
        let touched: Vec<u64> = state.pages.range(offset / PAGE..end.div_ceil(PAGE)).map(|(page, _)| *page).collect();
        for page in touched {
            let (from, to) = ((page * PAGE).max(offset), ((page + 1) * PAGE).min(end));
            match to - from {
                PAGE => state.set_page(page, None),
                _ => state.page_mut(page)[(from - page * PAGE) as usize..(to - page * PAGE) as usize].fill(0),
            }
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.access(0, 0)?;
        state.before.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Zero(u64, u64),
        Resize(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let byte = any::<u8>();
        let write = (0..30_000u64, 0..9_000usize, byte).prop_map(|(at, n, byte)| Step::Write(at, vec![byte; n]));
        let zero = (0..30_000u64, 0..20_000u64).prop_map(|(at, n)| Step::Zero(at, n));
        let resize = (0..40_000u64).prop_map(Step::Resize);
        prop::collection::vec(prop_oneof![4 => write, 2 => zero, 1 => resize], 0..20)
    }

    proptest! {
        #[test]
        fn it_is_an_array_of_bytes(steps in steps()) {
            let (disk, mut model) = (SimVolume::new(25_000), vec![0u8; 25_000]);
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        let fits = at as usize + bytes.len() <= model.len();
                        prop_assert_eq!(disk.write_at(at, &bytes).is_ok(), fits);
                        if fits { model[at as usize..][..bytes.len()].copy_from_slice(&bytes); }
                    }
                    Step::Zero(at, n) => {
                        let fits = (at + n) as usize <= model.len();
                        prop_assert_eq!(disk.zero(at, n).is_ok(), fits);
                        if fits { model[at as usize..][..n as usize].fill(0); }
                    }
                    Step::Resize(size) => { disk.resize(size); model.resize(size as usize, 0); }
                }
            }
            let mut bytes = vec![1; model.len()];
            disk.read_at(0, &mut bytes).unwrap();
            prop_assert_eq!(&bytes, &model);
            let mut at = 0;
            for span in disk.spans(0, disk.size()).unwrap() {
                prop_assert_eq!(span.offset, at);
                at += span.len;
                let inside = &model[span.offset as usize..at as usize];
                prop_assert!(span.content == Content::Data || inside.iter().all(|byte| *byte == 0));
            }
            prop_assert_eq!(at, disk.size());
        }
    }

    #[test]
    fn a_power_loss_undoes_only_what_was_not_flushed_and_tears_no_sector() {
        let disk = SimVolume::with_sectors(1 << 20, 512);
        disk.write_at(0, &[1; 1 << 18]).unwrap();
        disk.flush().unwrap();
        disk.write_at(0, &[2; 1 << 17]).unwrap();
        disk.lose_power(3);
        let mut bytes = vec![0; 1 << 18];
        disk.read_at(0, &mut bytes).unwrap();
        assert!(bytes[1 << 17..].iter().all(|byte| *byte == 1));
        let sectors: Vec<&[u8]> = bytes[..1 << 17].chunks(512).collect();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        let kept = sectors.iter().filter(|sector| sector[0] == 2).count();
        assert!((64..192).contains(&kept), "of 256 sectors {kept} were kept");
    }

    #[test]
    fn bad_ranges_and_a_vanished_disk_say_what_a_kernel_would() {
        let disk = SimVolume::new(1 << 20);
        disk.make_unreadable(4096..8192);
        disk.make_unwritable(0..1);
        let errno = |result: io::Result<()>| result.unwrap_err().raw_os_error().unwrap();
        let eio = rustix::io::Errno::IO.raw_os_error();
        assert_eq!(errno(disk.read_at(8191, &mut [0; 2])), eio);
        disk.read_at(8192, &mut [0; 512]).unwrap();
        disk.read_at(0, &mut [0; 4096]).unwrap();
        assert_eq!(errno(disk.write_at(0, &[1])), eio);
        assert_eq!(errno(disk.zero(0, 512)), eio);
        disk.mend();
        disk.read_at(0, &mut [0; 9000]).unwrap();
        disk.vanish();
        let enodev = rustix::io::Errno::NODEV.raw_os_error();
        assert_eq!(errno(disk.read_at(0, &mut [0; 1])), enodev);
        assert_eq!(errno(disk.flush()), enodev);
        disk.plug_in();
        disk.flush().unwrap();
    }

    #[test]
    fn one_seed_scribbles_one_content() {
        let of = |seed| {
            let disk = SimVolume::new(1 << 20);
            disk.scribble(seed, 50);
            let mut bytes = vec![0; 1 << 20];
            disk.read_at(0, &mut bytes).unwrap();
            bytes
        };
        assert!(of(1) == of(1) && of(1) != of(2));
    }
}
