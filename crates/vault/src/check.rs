//! Checking a vault: what is damaged, and what that costs.
//!
//! Never knows: how to mend it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_env::objects::ObjectError;
use backstay_format::names;
use backstay_format::pack::FrameKind;
use backstay_format::rows::{PackRow, RowKey, SpanId};
use backstay_format::twin::{self, Kind};
use backstay_format::units::{ChunkNo, DiskNo, FrameNo, ObjectId, PackId, PointNo};
use backstay_seal::compress::Decompressor;
use backstay_store::ledger::View;
use backstay_timeline::extent::{Content, Extent};

use crate::map::Run;
use crate::open::key;
use crate::rows::{Machine, decoded, machines_in, pack_row, points_in, row_key, spans_of};
use crate::{Vault, VaultError};

/// Data of points that cannot be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The machine.
    pub machine: String,
    /// The disk.
    pub disk: DiskNo,
    /// Bytes from the start of the disk.
    pub bytes: std::ops::Range<u64>,
    /// The first point with the damage.
    pub from: PointNo,
    /// The last one; `None`: the newest.
    pub until: Option<PointNo>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Objects, packs and maps with a defect, in words.
    pub defects: Vec<String>,
    /// Ranges of disks that are lost by it.
    pub losses: Vec<Loss>,
    /// Packs looked at.
    pub packs: u64,
    /// Bytes of packs that were read and checked.
    pub bytes: u64,
}

impl Findings {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.defects.is_empty() && self.losses.is_empty()
    }
}

/// Chunks that cannot be had.
#[derive(Default)]
struct Bad {
    packs: BTreeSet<PackId>,
    chunks: BTreeSet<(PackId, ChunkNo)>,
}

impl Bad {
    fn has(&self, content: &Content) -> bool {
        match content {
            Content::Data { pack, chunk, .. } => self.packs.contains(pack) || self.chunks.contains(&(*pack, *chunk)),
            _ => false,
        }
    }
}

impl Vault {
    /// Checks the ledger, the key table, each pack's tables, and each map; with `read_data` each frame too. `progress`: packs done
    /// and packs in all.
    ///
    /// # Errors
    /// [`VaultError`] when the home cannot be read; damage is no error but a finding.
    pub fn check(&self, read_data: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Findings, VaultError> {
        self.refresh()?;
        let mut findings = Findings::default();
        for ledger in [&self.ledger, &self.table] {
            findings.defects.extend(ledger.check()?.iter().map(ToString::to_string));
        }
        findings.defects.extend(self.check_header_and_slots()?);
        let view = self.ledger.view();
        let bad = self.check_packs(&view, read_data, &mut findings, progress)?;
        for machine in machines_in(&view)? {
            self.check_machine(&view, &machine, &bad, &mut findings)?;
        }
        Ok(findings)
    }

    /// The objects that open everything else: both copies of each are to be whole.
    fn check_header_and_slots(&self) -> Result<Vec<String>, VaultError> {
        let home = &*self.seams.home;
        let slots = home.list(&key(&names::key_slots(&self.name)))?.into_iter().map(|l| (l.key, Kind::KeySlot));
        let header = (key(names::STORE_HEADER), Kind::StoreHeader);
        let mut found = Vec::new();
        for (name, kind) in slots.chain([header]) {
            let object = match home.get(&name) {
                Ok(object) => object,
                Err(ObjectError::NotFound(_)) => continue, // removed while we looked
                Err(error) => return Err(error.into()),
            };
            match twin::decode(&object, kind, Some(self.store)) {
                Ok(twin) if twin.both => {}
                Ok(_) => found.push(format!("{name}: one of its two copies is damaged")),
                Err(error) => found.push(format!("{name}: {error}")),
            }
        }
        Ok(found)
    }

    fn check_packs(
        &self,
        view: &View,
        read_data: bool,
        findings: &mut Findings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Bad, VaultError> {
        let listed = self.seams.home.list(&key(&names::packs(&self.name)))?;
        let sizes: HashMap<ObjectId, u64> =
            listed.iter().filter_map(|l| Some((names::pack_object_of(l.key.as_str())?, l.size))).collect();
        let mut bad = Bad::default();
        let rows = view.prefix(b"k")?;
        for (index, (key, value)) in rows.iter().enumerate() {
            let RowKey::Pack(pack) = row_key(key)? else { continue };
            let row = decoded("pack", PackRow::decode(value))?;
            progress(index as u64, rows.len() as u64);
            findings.packs += 1;
            let there = sizes.get(&row.object).is_some_and(|size| row.offset + row.len <= *size);
            self.check_pack_as_it_is(pack, (row, there), read_data, (&mut bad, findings))?;
        }
        Ok(bad)
    }

    /// Checks a pack, twice if something is wrong with it: others may have moved or reclaimed it meanwhile, and only what is wrong
    /// with it as it is counts.
    fn check_pack_as_it_is(
        &self,
        pack: PackId,
        (mut row, mut there): (PackRow, bool),
        read_data: bool,
        (bad, findings): (&mut Bad, &mut Findings),
    ) -> Result<(), VaultError> {
        for look in 0.. {
            let (mut bad_here, mut found) = (Bad::default(), Findings::default());
            if there {
                self.check_pack(pack, &row, read_data, (&mut bad_here, &mut found))?;
            } else {
                found.defects.push(format!("pack {pack}: object {} is missing or too short", row.object));
                bad_here.packs.insert(pack);
            }
            if !found.defects.is_empty() {
                self.refresh()?;
                let Some(now) = pack_row(&self.ledger.view(), pack)? else { return Ok(()) };
                if now != row || look == 0 {
                    (row, there) = (now, there || now != row);
                    continue;
                }
            }
            bad.packs.append(&mut bad_here.packs);
            bad.chunks.append(&mut bad_here.chunks);
            findings.defects.append(&mut found.defects);
            findings.bytes += found.bytes;
            break;
        }
        Ok(())
    }

    /// Whether a span is still there: of one that others replaced meanwhile nothing needs to be readable.
    fn is_there(&self, id: SpanId) -> Result<bool, VaultError> {
        Ok(self.ledger.refresh()?.get(&RowKey::Span(id).encode())?.is_some())
    }

    fn check_pack(
        &self,
        pack: PackId,
        row: &PackRow,
        read_data: bool,
        (bad, findings): (&mut Bad, &mut Findings),
    ) -> Result<(), VaultError> {
        let reader = match self.packs.open_at(pack, false) {
            Ok(reader) => reader,
            Err(error) if error.is_damage() => {
                findings.defects.push(error.to_string());
                bad.packs.insert(pack);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if !read_data {
            return Ok(());
        }
        findings.defects.extend(self.check_ends(pack, row)?);
        let mut zstd = Decompressor::default();
        let mut first_chunk = 0;
        for (number, frame) in reader.table().frames.iter().enumerate() {
            let frame_no = FrameNo(number as u32);
            if !frame.is_gone() {
                match reader.read_frame(frame_no, self.packs.namer(), &mut zstd) {
                    Ok(_) => findings.bytes += u64::from(frame.stored),
                    Err(error) if error.is_damage() => {
                        findings.defects.push(error.to_string());
                        if let FrameKind::Chunks(count) = frame.kind {
                            bad.chunks.extend((first_chunk..first_chunk + count).map(|c| (pack, ChunkNo(c))));
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            first_chunk += frame.chunks();
        }
        Ok(())
    }

    /// The parts of a pack that are not needed as long as the rest is whole: header, both footers, trailer.
    fn check_ends(&self, pack: PackId, row: &PackRow) -> Result<Vec<String>, VaultError> {
        let bytes = match self.read_pack_bytes(row) {
            Ok(bytes) => bytes,
            Err(VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_))) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let key = backstay_store::packs::PackCatalogue::find(&*self.catalogue, pack, false)?.1;
        let found = backstay_store::pack::check_ends(&bytes, (self.store, pack), row.footer as usize, &key);
        Ok(found.into_iter().map(|what| format!("pack {pack}: {what}")).collect())
    }

    fn check_machine(
        &self,
        view: &View,
        machine: &Machine,
        bad: &Bad,
        findings: &mut Findings,
    ) -> Result<(), VaultError> {
        let points = points_in(view, machine.id)?;
        let mut open: Vec<(Extent, PointNo)> = Vec::new();
        let mut boundary = PointNo::BEGINNING;
        let mut ends = BTreeSet::new();
        for (id, row) in spans_of(view, machine.id)? {
            if row.level == 0 {
                self.step(machine, id, &mut boundary, (&mut open, findings));
                ends.insert(id.to);
            }
            let run = match Run::open(view, &self.packs, id) {
                Ok(run) => run,
                Err(error) if error.is_damage() && !self.is_there(id)? => continue,
                Err(error) if error.is_damage() => {
                    let what = "the map of what changed";
                    let where_ =
                        format!("machine {}: {what} between points {} and {}", machine.row.name, id.from.0, id.to.0);
                    findings.defects.push(format!("{where_} cannot be read: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if row.level == 0 {
                self.follow_damage(&run, id, bad, &mut open, (machine, findings))?;
            }
        }
        for (extent, from) in open {
            findings.losses.push(loss(machine, &extent, from, None));
        }
        for point in points.iter().filter(|p| !ends.contains(&p.number)) {
            findings.defects.push(format!("machine {}: point {} has no map", machine.row.name, point.number.0));
        }
        let existing: BTreeSet<PointNo> = points.iter().map(|p| p.number).collect();
        findings.losses.retain(|l| l.machine != machine.row.name || concerns(l, &existing));
        Ok(())
    }

    /// Goes on to the next span of level 0. One that begins at the beginning begins a stretch: damage of the one before ends.
    fn step(
        &self,
        machine: &Machine,
        id: SpanId,
        boundary: &mut PointNo,
        (open, findings): (&mut Vec<(Extent, PointNo)>, &mut Findings),
    ) {
        if id.from == PointNo::BEGINNING {
            let ended = open.drain(..).map(|(extent, since)| loss(machine, &extent, since, Some(*boundary)));
            findings.losses.extend(ended);
        } else if id.from != *boundary {
            findings.defects.push(format!("machine {}: no span leads from {} on", machine.row.name, boundary.0));
        }
        *boundary = id.to;
    }

    /// Damage opens where an extent refers to a bad chunk, and ends where a later span says something else.
    fn follow_damage(
        &self,
        run: &Run,
        id: SpanId,
        bad: &Bad,
        open: &mut Vec<(Extent, PointNo)>,
        (machine, findings): (&Machine, &mut Findings),
    ) -> Result<(), VaultError> {
        let (from, to) = (id.from, id.to);
        let outcome = run.for_each_block(&self.packs, |extents| {
            for extent in extents {
                let mut still_open = Vec::new();
                for (damage, since) in open.drain(..) {
                    for (part, ended) in split(&damage, extent) {
                        match ended {
                            true => findings.losses.push(loss(machine, &part, since, Some(from))),
                            false => still_open.push((part, since)),
                        }
                    }
                }
                *open = still_open;
                if bad.has(&extent.content) {
                    open.push((*extent, to));
                }
            }
            Ok(())
        });
        match outcome {
            Err(error) if error.is_damage() && !self.is_there(id)? => Ok(()),
            Err(error) if error.is_damage() => {
                let place = format!("machine {}, between points {} and {}", machine.row.name, from.0, to.0);
                findings.defects.push(format!("{place}: part of the map cannot be read: {error}"));
                Ok(())
            }
            other => other,
        }
    }
}

/// Parts of a damaged extent that a newer one covers (true) and leaves (false).
fn split(damage: &Extent, newer: &Extent) -> Vec<(Extent, bool)> {
    if damage.disk != newer.disk {
        return vec![(*damage, false)];
    }
    let (start, end) = (newer.page.0, newer.end().0);
    let before = damage.clip(&(0..start)).map(|e| (e, false));
    let inside = damage.clip(&(start..end)).map(|e| (e, true));
    let after = damage.clip(&(end..u64::MAX)).map(|e| (e, false));
    before.into_iter().chain(inside).chain(after).collect()
}

fn loss(machine: &Machine, extent: &Extent, from: PointNo, until: Option<PointNo>) -> Loss {
    let bytes = extent.page.offset()..extent.end().offset();
    Loss { machine: machine.row.name.clone(), disk: extent.disk, bytes, from, until }
}

/// Whether a point exists that has the damage.
fn concerns(loss: &Loss, points: &BTreeSet<PointNo>) -> bool {
    points.range(loss.from..=loss.until.unwrap_or(PointNo(u64::MAX))).next().is_some()
}

/// Losses joined where they touch, by machine: fewer lines for people.
pub fn joined(losses: &[Loss]) -> Vec<Loss> {
    type Group = (String, DiskNo, PointNo, Option<PointNo>);
    let mut groups: BTreeMap<Group, Vec<std::ops::Range<u64>>> = BTreeMap::new();
    for loss in losses {
        let group = (loss.machine.clone(), loss.disk, loss.from, loss.until);
        groups.entry(group).or_default().push(loss.bytes.clone());
    }
    let mut out: Vec<Loss> = Vec::new();
    for ((machine, disk, from, until), mut ranges) in groups {
        ranges.sort_by_key(|r| r.start);
        let first = out.len();
        for bytes in ranges {
            match out[first..].last_mut() {
                Some(last) if last.bytes.end >= bytes.start => last.bytes.end = last.bytes.end.max(bytes.end),
                _ => out.push(Loss { machine: machine.clone(), disk, bytes, from, until }),
            }
        }
    }
    out
}
