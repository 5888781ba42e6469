//! Pages and pictures of timelines against a model: rows written straight into the ledger, in folded states and on top of them, with
//! clocks that jump, machines beside each other, points that go.

use std::collections::BTreeMap;

use backstay_format::keys::KeySlot;
use backstay_format::ledger::Change;
use backstay_format::names;
use backstay_format::rows::{Consistency, DiskAt, MachineRow, PointRow, RowKey};
use backstay_format::twin::{self, Kind};
use backstay_format::units::{DiskNo, MachineId, PointNo, Timestamp};
use backstay_seal::keys::VaultKeys;
use backstay_seal::passphrase;
use backstay_store::ledger::{Ledger, Place};
use backstay_timeline::schedule::{Period, Schedule};
use backstay_timeline::thin::thin;
use backstay_vault::figures::Sums;
use backstay_vault::points::Choice;

use crate::world::World;

type Model = BTreeMap<u64, PointRow>;

/// The vault's ledger, without the vault.
fn ledger(world: &World) -> Ledger {
    let home = world.seams.home.clone();
    let key = backstay_env::objects::Key::new(names::key_slot("main", 0)).unwrap();
    let object = home.get(&key).unwrap();
    let twin = twin::decode(&object, Kind::KeySlot, None).unwrap();
    let slot = KeySlot::decode(twin.payload).unwrap();
    let root = passphrase::open_slot(twin.store, &slot, b"secret").unwrap();
    let place = Place {
        home,
        folder: names::ledger("main", "ledger"),
        store: twin.store,
        vault: slot.vault,
        key: VaultKeys::derive(&root).ledger,
    };
    Ledger::open(place, world.seams.random.clone()).unwrap()
}

fn commit(ledger: &Ledger, changes: &[Change]) {
    ledger.commit::<()>(("test", Timestamp(0)), |_| Ok(changes.to_vec())).unwrap();
}

fn row(time: i64, seed: u64) -> PointRow {
    let disk = DiskAt {
        disk: DiskNo(1),
        name: "sda".into(),
        source: "/dev/sda".into(),
        size: 1000,
        sector: 512,
        unreadable: 0,
        absent: 0,
        excluded: 0,
        stamp: Vec::new(),
        exclusions: Vec::new(),
    };
    PointRow {
        time: Timestamp(time),
        started: Timestamp(time),
        committed: Timestamp(time),
        consistency: Consistency::Still,
        note: String::new(),
        disks: vec![disk],
        read: seed % 7,
        changed: seed % 11,
        stored: seed % 13,
        held: seed % 17,
    }
}

/// Points of a machine, and of others before and after it, whose clock jumps: mostly on, twice back, once far ahead.
fn grow(ledger: &Ledger, machine: u8, model: &mut Model, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let jump = match number {
            700..=705 => -9_000_000,
            1500..=1520 => 50_000_000,
            _ => 0,
        };
        let time = number as i64 * 10_000 + if number % 300 > 290 { 1_000 } else { 0 } + jump;
        model.insert(number, row(time, number.wrapping_mul(0x9e37_79b9)));
    }
    let one = |machine: u8| {
        let points = model.iter().map(move |(number, row)| Change {
            key: RowKey::Point(MachineId([machine; 16]), PointNo(*number)).encode(),
            value: Some(row.encode()),
        });
        points.collect::<Vec<Change>>()
    };
    let about = MachineRow {
        created: Timestamp(0),
        name: format!("m{machine}"),
        next_disk: DiskNo(2),
        next_point: PointNo(1 << 40),
    };
    let id = MachineId([machine; 16]);
    commit(ledger, &[Change { key: RowKey::Machine(id).encode(), value: Some(about.encode()) }]);
    for machine in [machine - 1, machine, machine + 1] {
        commit(ledger, &one(machine));
    }
}

fn drop_some(ledger: &Ledger, machine: u8, model: &mut Model, which: impl Fn(u64) -> bool) {
    let gone: Vec<u64> = model.keys().copied().filter(|number| which(*number)).collect();
    let key = |number: &u64| RowKey::Point(MachineId([machine; 16]), PointNo(*number)).encode();
    commit(ledger, &gone.iter().map(|number| Change { key: key(number), value: None }).collect::<Vec<_>>());
    model.retain(|number, _| !gone.contains(number));
}

/// All pages of a choice, one after the other.
fn pages(vault: &backstay_vault::Vault, machine: MachineId, mut choice: Choice) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let page = vault.some_points(machine, &choice).unwrap();
        assert!(page.len() <= choice.most);
        let Some(last) = page.last() else { return all };
        choice.behind = Some(last.number);
        all.extend(page.iter().map(|point| point.number.0));
    }
}

fn assert_agrees(world: &World, vault: &backstay_vault::Vault, machine: u8, model: &Model) {
    vault.refresh().unwrap();
    let id = MachineId([machine; 16]);
    assert_eq!(vault.count_points(id).unwrap(), model.len() as u64);
    let mut streamed = Vec::new();
    vault.each_point(id, |point| streamed.push(point.number.0)).unwrap();
    assert!(streamed.iter().eq(model.keys()));
    let times = [None, Some(-5), Some(0), Some(3_000_000), Some(9_999_999), Some(16_000_000), Some(70_000_000)];
    for (from, to) in times.iter().flat_map(|from| times.iter().map(move |to| (*from, *to))) {
        for (newest_first, most) in [(true, 97), (false, 250), (true, 5000)] {
            let (from, to) = (from.map(Timestamp), to.map(Timestamp));
            let choice = Choice { from, to, behind: None, newest_first, most };
            let is_meant = |row: &PointRow| from.is_none_or(|f| row.time >= f) && to.is_none_or(|t| row.time <= t);
            let mut expected: Vec<u64> = model.iter().filter(|(_, row)| is_meant(row)).map(|(n, _)| *n).collect();
            if newest_first {
                expected.reverse();
            }
            assert!(pages(vault, id, choice) == expected, "{from:?} {to:?} {newest_first}");
        }
    }
    assert_pictures(vault, id, model);
    // Whoever opens it anew sees the same.
    assert_pictures(&world.open(), id, model);
}

fn sums<'m>(rows: impl Iterator<Item = &'m PointRow>) -> Sums {
    rows.fold(Sums::default(), |sums, row| Sums {
        points: sums.points + 1,
        changed: sums.changed + row.changed,
        stored: sums.stored + row.stored,
        read: sums.read + row.read,
        disks: sums.disks + 1000,
        held: sums.held.max(row.held),
    })
}

fn assert_pictures(vault: &backstay_vault::Vault, machine: MachineId, model: &Model) {
    let totals = vault.totals(machine).unwrap();
    assert_eq!(totals.map(|totals| totals.sums), (!model.is_empty()).then(|| sums(model.values())));
    for (from, to, columns) in
        [(0, 20_000_000, 10), (-10_000_000, 80_000_000, 333), (5_000_000, 5_200_000, 64), (0, 0, 1), (7, 7, 5)]
    {
        let found = vault.columns(machine, (Timestamp(from), Timestamp(to)), columns).unwrap();
        let length = (to - from).max(1);
        let column = |time: i64| ((time - from) * columns as i64 / length).min(columns as i64 - 1);
        for (at, found) in found.iter().enumerate() {
            let there = |row: &&PointRow| (from..=to).contains(&row.time.0) && column(row.time.0) == at as i64;
            assert_eq!(*found, sums(model.values().filter(there)), "column {at} of {columns} from {from} to {to}");
        }
    }
    // With more borders than are looked at, nothing is lost or counted twice.
    let all = (Timestamp(-10_000_000), Timestamp(80_000_000));
    let many = vault.columns(machine, all, 4096).unwrap();
    assert_eq!(many.iter().map(|sums| sums.points).sum::<u64>(), model.len() as u64);
    let stored: u64 = model.values().map(|row| row.stored).sum();
    assert_eq!(many.iter().map(|sums| sums.stored).sum::<u64>(), stored);
}

#[test]
fn pages_and_pictures_are_as_a_model_says() {
    let world = World::new();
    let (ledger, vault) = (ledger(&world), world.open());
    let (machine, mut model) = (7, Model::new());
    assert_agrees(&world, &vault, machine, &model);
    grow(&ledger, machine, &mut model, 1..900);
    assert_agrees(&world, &vault, machine, &model);
    ledger.fold().unwrap();
    assert_agrees(&world, &vault, machine, &model);
    grow(&ledger, machine, &mut model, 900..2500);
    drop_some(&ledger, machine, &mut model, |number| number % 3 == 0 && number < 1000);
    assert_agrees(&world, &vault, machine, &model);
    ledger.fold().unwrap();
    drop_some(&ledger, machine, &mut model, |number| (400..600).contains(&number) || number == 2499);
    assert_agrees(&world, &vault, machine, &model);
    drop_some(&ledger, machine, &mut model, |_| true);
    assert_agrees(&world, &vault, machine, &model);
}

/// Rows of before freezes were told are not written as this program would write them now.
#[test]
fn points_of_the_first_version_go_as_others_do() {
    let world = World::new();
    let vault = world.open();
    let made: Vec<_> = (0..4).map(|seed| crate::world::protect(&vault, &crate::world::noise(8 << 12, seed))).collect();
    let machine = &made[0].machine;
    let ledger = ledger(&world);
    let key = RowKey::Point(machine.id, made[1].point.number).encode();
    let mut old = made[1].point.row.encode();
    // Without what it tells of freezes: that is 0, and a byte long.
    assert_eq!((std::mem::replace(&mut old[0], 1), old.pop()), (2, Some(0)));
    commit(&ledger, &[Change { key, value: Some(old) }]);
    vault.refresh().unwrap();
    assert_eq!(vault.point(machine, made[1].point.number).unwrap(), made[1].point);
    vault.forget(&vault.plan_forget(machine, &[made[1].point.number].into()).unwrap()).unwrap();
    let left: Vec<_> = vault.points(machine.id).unwrap().into_iter().map(|point| point.number).collect();
    assert_eq!(left, [made[0].point.number, made[2].point.number, made[3].point.number]);
}

/// What a schedule will leave is what thinning leaves then: exactly of few points, and of many in all but a few in a hundred.
#[test]
fn what_a_schedule_will_leave_is_what_thinning_leaves() {
    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;
    let world = World::new();
    let (ledger, vault) = (ledger(&world), world.open());
    let id = MachineId([3; 16]);
    let tiers = vec![(Period::Minute, 6 * HOUR), (Period::Hour, 60 * HOUR), (Period::Day, 400 * 24 * HOUR)];
    let schedule = Schedule { all: HOUR, tiers };
    let mut points = Vec::new();
    for (count, is_exact) in [(5_000, true), (40_000, false)] {
        let more: Vec<_> =
            (points.len() as u64..count).map(|n| (PointNo(n + 1), Timestamp(n as i64 * 9 * SECOND))).collect();
        for some in more.chunks(5000) {
            let row = |(number, time): &(PointNo, Timestamp)| Change {
                key: RowKey::Point(id, *number).encode(),
                value: Some(row(time.0, number.0).encode()),
            };
            commit(&ledger, &some.iter().map(row).collect::<Vec<_>>());
        }
        points.extend(more);
        ledger.fold().unwrap();
        vault.refresh().unwrap();
        let newest = points[points.len() - 1].1.0;
        for (at, columns) in [(newest, 7), (newest + 4 * HOUR, 50), (newest + 50 * HOUR, 1), (i64::MAX, 3)] {
            let gone = thin(&points, &schedule, Timestamp(at));
            let left =
                vault.left_at(id, (Timestamp(0), Timestamp(newest)), columns, (&schedule, Timestamp(at))).unwrap();
            let column =
                |time: Timestamp| (time.0 as i128 * columns as i128 / i128::from(newest)).min(columns as i128 - 1);
            let mut expected = vec![0; columns];
            for (_, time) in points.iter().filter(|(number, _)| !gone.contains(number)) {
                expected[column(*time) as usize] += 1u64;
            }
            let differ: u64 = left.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other)).sum();
            let most = if is_exact { 0 } else { expected.iter().sum::<u64>() / 30 };
            assert!(differ <= most, "{count} points, at {at}: {left:?}, {expected:?}");
        }
        let newer = vault.newer(id, &points[points.len() - 3..]).unwrap();
        assert_eq!(newer, [Some(points[points.len() - 2].1), Some(Timestamp(newest)), None]);
        assert_eq!(vault.newer(id, &points[..1]).unwrap(), [Some(points[1].1)]);
    }
}
