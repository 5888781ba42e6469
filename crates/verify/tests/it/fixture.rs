//! A store with one of everything, and what each disk in it holds.

use std::collections::BTreeMap;

use crate::encode::{Extent, Id, Kind, Pack};
use crate::vault::{NAME, Vault, gap, machine, point, span};

pub(crate) const WEB: Id = [0xa1; 16];
pub(crate) const BIG: Id = [0xa2; 16];
pub(crate) const BIG_PAGES: u64 = 4500;

/// Sizes of the first machine's disks.
pub(crate) const ONE: u64 = 20 * 4096 + 100;
pub(crate) const TWO: u64 = 3 * 4096;

pub(crate) struct Fixture {
    pub(crate) vault: Vault,
    /// Bytes of each (machine, point, disk); zeros where the source could
    /// not be read.
    pub(crate) disks: BTreeMap<(Id, u64, u64), Vec<u8>>,
    /// The packs, in the order in which they were made.
    pub(crate) packs: Vec<Pack>,
}

/// Pages that are like no others, the same for the same seed.
pub(crate) fn pages(seed: u8, count: u64) -> Vec<u8> {
    let mut out = vec![0; count as usize * 4096];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
    out
}

fn extent(disk: u64, page: u64, pages: u64, kind: Kind) -> Extent {
    Extent { disk, page, pages, kind }
}

/// An extent of a pack's chunk.
pub(crate) fn data(disk: u64, page: u64, pages: u64, pack: &Pack, chunk: u64, inside: u64) -> Extent {
    let chunks = pack.frames.iter().flat_map(|frame| &frame.chunks);
    let (id, _) = chunks.copied().nth(chunk as usize).expect("the chunk is in the pack");
    extent(disk, page, pages, Kind::Data(pack.id, chunk, inside, id))
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut vault = Vault::new();
        let rows = [machine(&WEB, "web", 3, 5), machine(&BIG, "größe", 2, 2), gap(&WEB, 3, &[0, 1, 7])].concat();
        vault.commit(false, &rows);
        vault.state(false, 3);
        let mut fixture = Self { vault, disks: BTreeMap::new(), packs: Vec::new() };
        fixture.first_point();
        fixture.next_points();
        fixture.big_machine();
        // What a writer may delete once there are two states.
        let old = [("ledger", "state", 1), ("ledger", "parts", 1), ("ledger", "entry", 1), ("keytable", "entry", 1)];
        for (ledger, kind, number) in old {
            let path = fixture.vault.file(&format!("vault/{NAME}/{ledger}/{kind}/{number:016x}"));
            std::fs::remove_file(path).expect("the old object is there");
        }
        fixture
    }

    fn first_point(&mut self) {
        let key = self.vault.chunk_key;
        let (c0, c1, c2) = (pages(0, 4), pages(1, 2), [pages(2, 4), vec![7; 4 * 4096]].concat());
        let mut pack = Pack::new([0xb1; 16], [0x31; 32]);
        pack.chunks(&key, false, &[&c0, &c1]);
        pack.chunks(&key, false, &[&pages(9, 1), &pages(10, 2)]);
        pack.chunks(&key, true, &[&c2]);
        let extents = [
            data(1, 0, 4, &pack, 0, 0),
            data(1, 4, 2, &pack, 1, 0),
            extent(1, 6, 4, Kind::Zero),
            data(1, 10, 4, &pack, 4, 2),
            extent(1, 14, 1, Kind::Unreadable),
            extent(1, 15, 3, Kind::Absent),
            data(1, 20, 1, &pack, 1, 1),
        ];
        let mut rows = span(&mut pack, &WEB, 1, 0, 0, &extents);
        pack.drop_frame(1);
        rows.extend(self.vault.object([0xc1; 16], &[&pack]));
        rows.push(point(&WEB, 1, &[(1, ONE)]));
        self.vault.commit(false, &rows);
        self.vault.state(true, 2);
        self.vault.state(false, 3);
        let mut disk = vec![0; 21 * 4096];
        disk[..4 * 4096].copy_from_slice(&c0);
        disk[4 * 4096..6 * 4096].copy_from_slice(&c1);
        disk[10 * 4096..14 * 4096].copy_from_slice(&c2[2 * 4096..6 * 4096]);
        disk[20 * 4096..].copy_from_slice(&c1[4096..]);
        disk.truncate(ONE as usize);
        self.disks.insert((WEB, 1, 1), disk);
        self.packs.push(pack);
    }

    /// Points 2 (dropped since) to 4, and two summaries.
    fn next_points(&mut self) {
        let key = self.vault.chunk_key;
        let (c0, c1) = (pages(20, 2), pages(21, 3));
        let mut two = Pack::new([0xb2; 16], [0x32; 32]);
        two.chunks(&key, true, &[&c0]);
        two.chunks(&key, false, &[&c1]);
        let second = [data(1, 5, 2, &two, 0, 0), extent(1, 8, 1, Kind::Excluded), data(2, 0, 3, &two, 1, 0)];
        let mut rows = span(&mut two, &WEB, 2, 1, 0, &second);
        let one = &self.packs[0];
        let third = [data(1, 0, 1, one, 4, 7), extent(1, 11, 1, Kind::Zero)];
        let between =
            [data(1, 0, 1, one, 4, 7), data(1, 5, 2, &two, 0, 0), extent(1, 8, 1, Kind::Excluded), third[1], second[2]];
        let all = [
            data(1, 0, 1, one, 4, 7),
            data(1, 1, 3, one, 0, 1),
            data(1, 4, 1, one, 1, 0),
            data(1, 5, 2, &two, 0, 0),
            extent(1, 7, 1, Kind::Zero),
            extent(1, 8, 1, Kind::Excluded),
            extent(1, 9, 1, Kind::Zero),
            data(1, 10, 1, one, 4, 2),
            extent(1, 11, 1, Kind::Zero),
            data(1, 12, 2, one, 4, 4),
            extent(1, 14, 1, Kind::Unreadable),
            extent(1, 15, 3, Kind::Absent),
            data(1, 20, 1, one, 1, 1),
            second[2],
        ];
        let mut three = Pack::new([0xb3; 16], [0x33; 32]);
        rows.extend(span(&mut three, &WEB, 3, 2, 0, &third));
        rows.extend(span(&mut three, &WEB, 4, 3, 0, &[]));
        rows.extend(span(&mut three, &WEB, 3, 1, 1, &between));
        rows.extend(span(&mut three, &WEB, 4, 0, 2, &all));
        rows.extend(self.vault.object([0xc2; 16], &[&two, &three]));
        let disks = [(1, ONE), (2, TWO)];
        rows.extend([point(&WEB, 2, &disks), point(&WEB, 3, &disks), point(&WEB, 4, &disks)]);
        self.vault.commit(false, &rows);
        let dropped = [
            ([b"p".as_slice(), &WEB, &2u64.to_be_bytes()].concat(), None),
            ([b"g".as_slice(), &two.id].concat(), Some(Vec::new())),
            ([b"g".as_slice(), &[0xb1; 16]].concat(), Some(vec![1])),
            (b"cweekly".to_vec(), Some(vec![1, 2, 3])),
            ([b"x".as_slice(), &[0xee; 16]].concat(), Some(5i64.to_le_bytes().to_vec())),
        ];
        self.vault.commit(false, &dropped);
        self.vault.state(false, 3);

        let mut disk = self.disks[&(WEB, 1, 1)].clone();
        disk[5 * 4096..7 * 4096].copy_from_slice(&c0);
        disk[8 * 4096..9 * 4096].fill(0);
        disk[..4096].fill(7);
        disk[11 * 4096..12 * 4096].fill(0);
        for number in [3, 4] {
            self.disks.insert((WEB, number, 1), disk.clone());
            self.disks.insert((WEB, number, 2), c1.clone());
        }
        self.packs.extend([two, three]);
    }

    /// A run with more extents than a block holds.
    fn big_machine(&mut self) {
        let chunk = pages(40, 200);
        let mut pack = Pack::new([0xb4; 16], [0x34; 32]);
        pack.chunks(&self.vault.chunk_key, true, &[&chunk]);
        let mut extents = Vec::new();
        let mut disk = vec![0; BIG_PAGES as usize * 4096];
        for page in 0..BIG_PAGES {
            if page % 9 == 0 {
                let inside = page % 200;
                extents.push(data(1, page, 1, &pack, 0, inside));
                let from = inside as usize * 4096;
                disk[page as usize * 4096..][..4096].copy_from_slice(&chunk[from..from + 4096]);
            } else {
                extents.push(extent(1, page, 1, if page % 2 == 0 { Kind::Zero } else { Kind::Absent }));
            }
        }
        let mut rows = span(&mut pack, &BIG, 1, 0, 0, &extents);
        rows.extend(self.vault.object([0xc3; 16], &[&pack]));
        rows.push(point(&BIG, 1, &[(1, BIG_PAGES * 4096)]));
        self.vault.commit(false, &rows);
        self.vault.state(true, 3);
        self.disks.insert((BIG, 1, 1), disk);
        self.packs.push(pack);
    }
}
