//! Other programs that freeze and thaw.

use std::time::Duration;

use backstay_capture::freeze::group::{Broken, FreezeError, Limits};

use crate::world::{Disk, Writer, group, long, output, run, watchdog};

fn fsfreeze(how: &str, disk: &Disk) {
    run("fsfreeze", [how.as_ref(), disk.point().as_os_str()]);
}

#[test]
fn frozen_by_another_program_is_left_alone() {
    let disks = [Disk::new("ext4"), Disk::new("ext4")];
    let mut watchdog = watchdog();
    let group = group(&[&disks[0], &disks[1]]);
    fsfreeze("--freeze", &disks[1]);
    let limits = Limits::new(Duration::from_secs(1), Duration::from_millis(100)).expect("limits");
    match group.freeze(&mut watchdog, limits).err() {
        Some(FreezeError::Busy { name }) => assert_eq!(name, disks[1].point()),
        other => panic!("{other:?}"),
    }
    assert!(disks[0].is_writable(), "nothing of ours stays frozen");
    assert!(!output("fsfreeze", ["--freeze".as_ref(), disks[1].point().as_os_str()]).status.success(), "still theirs");

    // As soon as they let go, it works.
    let writer = Writer::start(&disks[0]);
    let thawed = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            fsfreeze("--unfreeze", &disks[1]);
        });
        group.freeze(&mut watchdog, long()).expect("freezes").thaw().expect("intact")
    });
    assert_eq!(thawed.frozen, 2);
    writer.goes_on();
}

#[test]
fn thawed_by_another_program_is_no_point() {
    let disks = [Disk::new("ext4"), Disk::new("xfs")];
    let mut watchdog = watchdog();
    let group = group(&[&disks[0], &disks[1]]);
    for disk in &disks {
        let frozen = group.freeze(&mut watchdog, long()).expect("freezes");
        fsfreeze("--unfreeze", disk);
        assert_eq!(frozen.thaw().err(), Some(Broken::Thawed { name: disk.point() }));
        assert!(disks.iter().all(Disk::is_writable));
    }
    // The next one is whole again.
    assert_eq!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().expect("intact").frozen, 2);
}
