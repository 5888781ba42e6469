//! Plans over facts that are written as tables.
//!
//! Never knows: this machine's own mounts.

use super::*;

fn device(text: &str) -> DeviceNumber {
    DeviceNumber::parse(text).expect("a device number")
}

/// Facts as a table. `block NAME disk=NAME slaves=A,B file=NAME|?`, `mount VIEW NAME POINT KIND`, `pool NAME A B`,
/// `alive NAME`. Names are device numbers.
fn facts(table: &str) -> Facts {
    let mut facts = Facts::default();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["block", name, more @ ..] => drop(facts.blocks.insert(device(name), block(device(name), more))),
            ["mount", view, name, point, kind] => mount(&mut facts, view.parse().ok(), device(name), point, kind),
            ["pool", name, members @ ..] => {
                facts.pools.insert(device(name), members.iter().map(|m| device(m)).collect());
            }
            ["alive", name] => facts.alive.push(Alive { kind: "ext4".into(), device: device(name) }),
            _ => panic!("{line}"),
        }
    }
    facts
}

fn block(own: DeviceNumber, words: &[&str]) -> Block {
    let mut block = Block { disk: own, slaves: Vec::new(), backing: Backing::None };
    for word in words {
        match word.split_once('=').expect("a word with =") {
            ("disk", disk) => block.disk = device(disk),
            ("slaves", list) => block.slaves = list.split(',').map(device).collect(),
            ("file", "?") => block.backing = Backing::Unknown,
            ("file", host) => block.backing = Backing::FileOn(device(host)),
            _ => panic!("{word}"),
        }
    }
    block
}

fn mount(facts: &mut Facts, process: Option<u32>, device: DeviceNumber, point: &str, kind: &str) {
    let id = facts.views.iter().map(|view| view.mounts.len() as u64).sum::<u64>() + 1;
    let mount = Mount { id, device, point: point.into(), kind: kind.into(), read_only: false };
    match facts.views.iter_mut().find(|view| view.process == process) {
        Some(view) => view.mounts.push(mount),
        None => facts.views.push(View { process, mounts: vec![mount] }),
    }
}

fn order(table: &str, disks: &str) -> String {
    let disks: Vec<DeviceNumber> = disks.split(' ').map(device).collect();
    let plan = plan(&facts(table), &disks);
    plan.file_systems.iter().map(|fs| fs.name().display().to_string()).collect::<Vec<_>>().join(" ")
}

const SERVER: &str = "
    block 8:0
    block 8:1 disk=8:0
    block 8:2 disk=8:0
    block 8:16
    block 253:0 slaves=8:2,8:16
    mount own 8:1 / ext4
    mount own 0:21 /proc proc
    mount own 253:0 /srv xfs
    mount own 8:1 /srv/bind ext4
    mount 77 253:0 /data xfs
";

#[test]
fn each_superblock_once_and_the_root_last() {
    assert_eq!(order(SERVER, "8:0"), "/srv /");
    assert_eq!(order(SERVER, "8:16"), "/srv");
    assert_eq!(order(SERVER, "8:1"), "/");
    assert_eq!(order(SERVER, "8:32"), "");
}

#[test]
fn own_places_come_before_those_of_other_processes() {
    let table = "block 8:0\nmount 77 8:0 /theirs ext4\nmount own 8:0 /ours ext4\nmount 78 8:0 /also ext4";
    let plan = plan(&facts(table), &[device("8:0")]);
    let places = &plan.file_systems[0].places;
    assert_eq!(places.iter().map(|place| place.process).collect::<Vec<_>>(), [None, Some(77), Some(78)]);
}

#[test]
fn a_file_system_only_in_another_namespace() {
    assert_eq!(order("block 8:0\nmount own 0:3 / tmpfs\nmount 9 8:0 /inside ext4", "8:0"), "/inside");
}

#[test]
fn stacked_ones_first() {
    let table = "
        block 8:0
        block 8:1 disk=8:0
        block 7:0 file=8:1
        block 7:1 file=7:0
        block 259:5 disk=7:1
        mount own 8:1 / ext4
        mount own 7:0 /images xfs
        mount own 259:5 /images/inner ext4
    ";
    assert_eq!(order(table, "8:0"), "/images/inner /images /");
    assert_eq!(order(table, "7:0"), "/images/inner /images");
    assert_eq!(order(table, "7:1"), "/images/inner");
}

#[test]
fn a_root_on_a_loop_device_comes_before_its_host() {
    let table = "block 8:0\nblock 7:0 file=8:0\nmount own 7:0 / squashfs\nmount own 8:0 /medium ext4";
    assert_eq!(order(table, "8:0"), "/ /medium");
}

#[test]
fn the_longest_way_counts() {
    // A mirror of a disk and of a file on a file system on another disk.
    let table = "
        block 8:0
        block 8:16
        block 7:0 file=8:16
        block 9:0 slaves=8:0,7:0
        mount own 8:16 /a ext4
        mount own 9:0 /b ext4
    ";
    assert_eq!(order(table, "8:0"), "/b");
    assert_eq!(order(table, "8:16"), "/b /a");
}

#[test]
fn a_pool_lies_on_all_its_members() {
    let table = "
        block 8:0
        block 8:16
        block 7:0 file=0:40
        pool 0:40 8:0 8:16
        mount own 0:40 /pool btrfs
        mount own 0:40 /pool/subvolume btrfs
        mount own 7:0 /pool/inner ext4
    ";
    assert_eq!(order(table, "8:16"), "/pool/inner /pool");
}

#[test]
fn circles_end() {
    let table = "
        block 7:0 file=7:1
        block 7:1 file=7:0
        block 9:0 slaves=9:1
        block 9:1 slaves=9:0
        mount own 7:0 /a ext4
        mount own 7:1 /b ext4
        mount own 9:0 /c ext4
    ";
    assert_eq!(order(table, "7:1"), "/a /b");
    assert_eq!(order(table, "9:1"), "/c");
}

#[test]
fn what_cannot_be_vouched_for_is_named() {
    let table = "
        block 8:0
        block 8:1 disk=8:0
        block 8:16
        block 7:0 file=?
        mount own 7:0 /deleted ext4
        mount own 0:50 /tank zfs
        mount own 0:51 /tmp tmpfs
        mount own 8:16 /seen ext4
        alive 8:1
        alive 8:16
    ";
    let plan = plan(&facts(table), &[device("8:0")]);
    assert_eq!(plan.file_systems, []);
    let unseen: Vec<_> = plan.unseen.iter().map(|u| (u.device.to_string(), u.why)).collect();
    let expected = [
        ("0:50".to_owned(), UnseenWhy::UnknownDevices),
        ("7:0".to_owned(), UnseenWhy::UnknownFile),
        ("8:1".to_owned(), UnseenWhy::NoMount),
    ];
    assert_eq!(unseen, expected);
}

#[test]
fn a_mount_that_came_later_is_not_covered() {
    let (disks, before) = ([device("8:0"), device("253:0")], facts(SERVER));
    let mut after = before.clone();
    assert!(plan(&before, &disks).covers(&plan(&after, &disks)));
    after.blocks.insert(device("8:3"), block(device("8:3"), &["disk=8:0"]));
    mount(&mut after, Some(78), device("8:3"), "/new", "ext4");
    assert!(!plan(&before, &disks).covers(&plan(&after, &disks)));
    assert!(plan(&after, &disks).covers(&plan(&before, &disks)));
}
