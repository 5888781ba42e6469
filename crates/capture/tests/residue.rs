//! What is read at the last moment is what the disk holds, in order, the second look over the first.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::Command;

use backstay_capture::deep::Deep;
use backstay_capture::residue::Residue;
use backstay_env::real::disk::{AlignedBuf, BlockDevice};
use backstay_env::volume::{Piece, Volume};

const PAGE: usize = 4096;

struct Loop(String);

impl Loop {
    fn of(file: &std::path::Path) -> Loop {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Loop(String::from_utf8(made.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        Command::new("losetup").args(["-d", &self.0]).status().unwrap();
    }
}

fn fill(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at / 512) * 131 + at * 7 + seed) as u8).collect()
}

fn read(look: &impl Volume, pages: &Range<u64>, size: usize) -> Vec<u8> {
    let bytes = pages.start as usize * PAGE..(pages.end as usize * PAGE).min(size);
    let mut out = vec![0; bytes.len()];
    look.read_at(bytes.start as u64, &mut out).unwrap();
    out
}

#[test]
fn what_was_added_is_read_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    // Ends in half a page.
    let size = (16 << 20) + 2048;
    let mut content = fill(size, 0);
    std::fs::write(&path, &content).unwrap();
    let device = Loop::of(&path);
    let disk = BlockDevice::open(&device.0).unwrap();
    let mut residue = Residue::new(8 << 20);
    residue.make_room(8 << 20);
    for round in 0..3 {
        residue.clear();
        let last = (size / PAGE) as u64;
        let runs = [3..4, 10..12, 1000..1900, 2000..2001, last..last + 1];
        assert!(runs.iter().all(|run| residue.add(0, run.clone())));
        residue.read(&[&disk]).unwrap();
        // Written between the looks.
        let before = content[11 * PAGE..12 * PAGE].to_vec();
        content[11 * PAGE..12 * PAGE].copy_from_slice(&fill(PAGE, 91 + round));
        let writer = std::fs::OpenOptions::new().write(true).open(&device.0).unwrap();
        writer.write_all_at(&content[11 * PAGE..12 * PAGE], 11 * PAGE as u64).unwrap();
        writer.sync_all().unwrap();
        residue.look_again();
        assert!(residue.add(0, 11..12));
        residue.read(&[&disk]).unwrap();
        let [first, second] = residue.looks(0, size as u64);
        assert_eq!((first.pages(), second.pages()), (runs.to_vec(), vec![11..12]));
        assert_eq!(read(&first, &(11..12), size), before);
        assert_eq!(read(&second, &(11..12), size), content[11 * PAGE..12 * PAGE]);
        for run in runs.iter().filter(|run| !run.contains(&11)) {
            assert!(read(&first, run, size) == content[run.start as usize * PAGE..(run.end as usize * PAGE).min(size)]);
        }
        first.read_at(5 * PAGE as u64, &mut [0; 10]).unwrap_err();
        second.read_at(10 * PAGE as u64, &mut [0; 10]).unwrap_err();
        let [first, second] = residue.looks(1, 1 << 20);
        assert!(first.pages().is_empty() && second.pages().is_empty());
    }
}

#[test]
fn what_has_no_room_is_refused() {
    let mut residue = Residue::new(8 * PAGE);
    residue.make_room(8 * PAGE);
    assert!(residue.add(0, 0..7));
    assert!(!residue.add(0, 10..12));
    assert!(residue.add(0, 10..11));
    assert!(!residue.add(0, 20..21));
    assert_eq!((residue.bytes(), residue.most()), (8 * PAGE, 8 * PAGE));
    residue.clear();
    assert!(residue.add(3, 10..18));
}

#[test]
fn what_cannot_be_read_is_known_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let content = fill(1 << 20, 5);
    std::fs::write(&path, &content).unwrap();
    let device = Loop::of(&path);
    let disk = BlockDevice::open(&device.0).unwrap();
    // The device stays as long as it is; what was behind its end is gone.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(512 << 10).unwrap();
    let mut residue = Residue::new(1 << 20);
    residue.make_room(1 << 20);
    assert!(residue.add(0, 120..136));
    residue.read(&[&disk]).unwrap();
    let [look, _] = residue.looks(0, 1 << 20);
    for page in 120..136u64 {
        let mut bytes = vec![0; PAGE];
        let outcome = look.read_at(page * PAGE as u64, &mut bytes);
        match outcome {
            Ok(()) => assert!(bytes == content[page as usize * PAGE..][..PAGE] || page >= 128, "page {page}"),
            Err(_) => assert!(page >= 128, "page {page}"),
        }
    }
}

#[test]
fn many_pieces_are_read_at_once_and_those_that_are_not_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let content = fill(4 << 20, 3);
    std::fs::write(&path, &content).unwrap();
    let device = Loop::of(&path);
    let disk = BlockDevice::open(&device.0).unwrap();
    let deep = Deep::new(&disk);
    let mut memory = AlignedBuf::new(2 << 20);
    for round in 0..3 {
        memory.fill(0);
        // More than are under way at once, some next to each other, some near, some far; then one that is not whole pages, and one
        // that is not all on the disk.
        let (mut rest, mut pieces) = (&mut *memory, Vec::new());
        let steps = [1, 1, 2, 5, 6, 1].into_iter().cycle();
        let places =
            steps.scan(round, |page, step| Some((std::mem::replace(page, *page + step) * PAGE, PAGE))).take(300);
        for (offset, len) in places.chain([(1000 * PAGE, 512), (content.len() - PAGE, 2 * PAGE)]) {
            let (bytes, others) = rest.split_at_mut(len.next_multiple_of(PAGE));
            rest = others;
            pieces.push(Piece { offset: offset as u64, bytes: &mut bytes[..len], whole: false });
        }
        deep.read_many(&mut pieces);
        assert_eq!(
            pieces.iter().map(|piece| piece.whole).collect::<Vec<_>>(),
            [vec![true; 300], vec![false; 2]].concat()
        );
        for piece in &pieces[..300] {
            assert!(*piece.bytes == content[piece.offset as usize..piece.offset as usize + PAGE], "{}", piece.offset);
        }
    }
}
