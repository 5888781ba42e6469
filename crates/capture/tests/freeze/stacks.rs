//! Mounts on top of, beside and hidden behind each other.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use backstay_capture::freeze::facts::gather;
use backstay_capture::freeze::group::Group;
use backstay_capture::freeze::mounts::{FileSystem, plan};

use crate::world::{Disk, Writer, content, group, long, run, still, unmount, wait_for, watchdog};

fn names(group: &Group) -> Vec<PathBuf> {
    group.members().iter().map(|fs: &FileSystem| fs.name().to_owned()).collect()
}

fn nested(outer: &str, inner: &str) {
    let host = Disk::new(outer);
    let guest = Disk::inside(&host.point(), inner, 64 << 20);
    let group = group(&[&host]);
    assert_eq!(names(&group), [guest.point(), host.point()], "the inner one first");
    let writers = [Writer::start(&host), Writer::start(&guest)];
    let mut watchdog = watchdog();
    for _ in 0..3 {
        let (contents, held) = still(&group, &mut watchdog, || {
            let before = content(&host);
            std::thread::sleep(std::time::Duration::from_millis(50));
            [before, content(&host)]
        });
        assert_eq!((held.frozen, contents[0]), (2, contents[1]));
        writers.iter().for_each(Writer::goes_on);
    }
    drop(group);
    drop(writers);
    drop(guest);
}

#[test]
fn an_image_on_ext4() {
    nested("ext4", "ext4");
}

#[test]
fn an_image_on_btrfs() {
    nested("btrfs", "ext4");
}

#[test]
fn bind_mounts_are_one_file_system() {
    let disk = Disk::new("ext4");
    let twin = disk.point().join("twin");
    std::fs::create_dir(&twin).expect("a folder");
    run("mount", ["--bind".as_ref(), disk.point().as_os_str(), twin.as_os_str()]);
    let group = group(&[&disk]);
    assert_eq!(names(&group).len(), 1);
    assert_eq!(group.members()[0].places.len(), 2);
    let mut watchdog = watchdog();
    assert_eq!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().expect("intact").frozen, 1);
    drop(group);
    unmount(&twin);
}

#[test]
fn subvolumes_are_one_file_system() {
    let disk = Disk::new("btrfs");
    let (volume, point) = (disk.point().join("volume"), disk.beside("volume"));
    run("btrfs", ["subvolume".as_ref(), "create".as_ref(), volume.as_os_str()]);
    std::fs::create_dir(&point).expect("a folder");
    run("mount", ["-o".as_ref(), "subvol=volume".as_ref(), disk.node().as_os_str(), point.as_os_str()]);
    let group = group(&[&disk]);
    assert_eq!((names(&group).len(), group.members()[0].places.len()), (1, 2));
    drop(group);
    unmount(&point);
}

#[test]
fn a_loop_file_on_a_subvolume_is_found() {
    let host = Disk::new("btrfs");
    let volume = host.point().join("volume");
    run("btrfs", ["subvolume".as_ref(), "create".as_ref(), volume.as_os_str()]);
    let guest = Disk::inside(&volume, "ext4", 32 << 20);
    assert_eq!(names(&group(&[&host])), [guest.point(), host.point()]);
    drop(guest);
}

#[test]
fn partitions_belong_to_their_disk() {
    let disk = Disk::new("ext4");
    unmount(&disk.point());
    run("sh", ["-c", &format!("echo '2048,,L' | sfdisk --quiet --label gpt {}", disk.node().display())]);
    // The kernel of the test machines reads no partition tables itself.
    run("partx", ["--add".as_ref(), disk.node().as_os_str()]);
    let partition = PathBuf::from(format!("{}p1", disk.node().display()));
    wait_for("the partition", || partition.exists());
    run("mkfs.ext4", ["-q".as_ref(), partition.as_os_str()]);
    run("mount", [partition.as_os_str(), disk.point().as_os_str()]);
    assert_eq!(names(&group(&[&disk])), [disk.point()]);
    unmount(&disk.point());
    run("partx", ["--delete".as_ref(), disk.node().as_os_str()]);
}

#[test]
fn a_hidden_mount_is_not_mistaken_for_what_hides_it() {
    let disk = Disk::new("ext4");
    run("mount", ["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), disk.point().as_os_str()]);
    let hidden = group(&[&disk]);
    assert_eq!(names(&hidden).len(), 0);
    assert_eq!(hidden.unreached().len(), 1);
    // Another way to it is enough.
    let aside = disk.beside("aside");
    std::fs::create_dir(&aside).expect("a folder");
    run("mount", [disk.node().as_os_str(), aside.as_os_str()]);
    let found = group(&[&disk]);
    assert_eq!((found.members().len(), found.unreached().len()), (1, 0));
    drop(found);
    unmount(&aside);
    unmount(&disk.point());
}

/// A process in a mount namespace of its own, until it is dropped.
struct Elsewhere(Child);

impl Elsewhere {
    fn start(script: &str) -> Elsewhere {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        Elsewhere(command.stdin(Stdio::piped()).spawn().expect("unshare"))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn mounts_in_other_namespaces_are_found() {
    let disk = Disk::new("ext4");
    unmount(&disk.point());
    let (point, ready) = (disk.point(), disk.beside("ready"));
    let script =
        format!("mount {} {} && touch {} && read never", disk.node().display(), point.display(), ready.display());
    let elsewhere = Elsewhere::start(&script);
    wait_for("the other namespace", || ready.exists());

    let group = group(&[&disk]);
    assert_eq!(names(&group), [disk.point()]);
    assert!(group.members()[0].places.iter().all(|place| place.process.is_some()));
    let mut watchdog = watchdog();
    assert_eq!(group.freeze(&mut watchdog, long()).expect("freezes").thaw().expect("intact").frozen, 1);
    drop(group);
    drop(elsewhere);
}

#[test]
fn what_is_alive_and_out_of_sight_is_named() {
    let disk = Disk::new("ext4");
    let open = std::fs::File::create(disk.point().join("open")).expect("a file");
    run("umount", ["--lazy".as_ref(), disk.point().as_os_str()]);
    let found = plan(&gather().expect("facts"), &[disk.device()]);
    assert_eq!(found.file_systems, []);
    assert_eq!(found.unseen.iter().map(|unseen| unseen.device).collect::<Vec<_>>(), [disk.device()]);
    drop(open);
}
