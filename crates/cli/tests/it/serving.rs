//! A point as a mounted folder, and as a block device over the network.

use std::fs;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// A GPT disk with an ext4 and an NTFS, and a second disk that is one ext4.
fn with_two_disks() -> (World, [std::path::PathBuf; 2]) {
    let world = World::new();
    let (disk, data, part, tree) =
        (world.path("sda.img"), world.path("sdb.img"), world.path("part"), world.path("tree"));
    sparse(&disk, 40 * MIB);
    run_with_input("sfdisk", ["--quiet", text(&disk)], "label: gpt\nstart=2048, size=32768\nstart=34816, size=32768\n");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(tree.join("noise"), Numbers(2).bytes(2 << 20)).unwrap();
    sparse(&part, 16 * MIB);
    run("mkfs.ext4", ["-q", "-d", text(&tree), text(&part)]);
    implant(&part, &disk, MIB);
    sparse(&part, 16 * MIB);
    run("mkntfs", ["-Q", "-F", "-q", text(&part)]);
    let mount = Mount::ntfs(&part, &world.path("ntfs"));
    fs::write(world.path("ntfs").join("report.doc"), Numbers(4).bytes(100_000)).unwrap();
    drop(mount);
    implant(&part, &disk, 17 * MIB);
    sparse(&data, 16 * MIB + 512);
    run("mkfs.ext4", ["-q", "-d", text(&tree), text(&data)]);
    let args = ["protect", text(&disk), text(&data), "--machine", "m", "--once", "--all-blocks"];
    world.ok(&args);
    (world, [disk, data])
}

#[test]
fn a_point_as_a_folder() {
    let (world, [disk, data]) = with_two_disks();
    let folder = world.path("mounted");
    fs::create_dir(&folder).unwrap();
    let mut mount = world.start(&["mount", "m", text(&folder)]);
    mount.wait_for("mounted on");
    assert_same(&folder.join("sda.img"), &disk);
    assert_same(&folder.join("sdb.img"), &data);
    assert_same_tree(&folder.join("sda/p1/etc"), &world.path("tree/etc"));
    assert_same(&folder.join("sda/p1/noise"), &world.path("tree/noise"));
    assert_eq!(fs::read(folder.join("sda/p2/report.doc")).unwrap(), Numbers(4).bytes(100_000));
    assert_same(&folder.join("sdb/files/noise"), &world.path("tree/noise"));
    assert!(fs::write(folder.join("sda.img"), "x").is_err(), "read-only");
    // Somebody else unmounts it.
    assert!(patiently(|| output("umount", [text(&folder)]).status.success()));
    assert_eq!(mount.end(), Some(0), "{}", mount.log());

    // Ctrl-C, and only one disk.
    let mut mount = world.start(&["mount", "m:sdb", text(&folder), "--json"]);
    mount.wait_for("\"mounted\"");
    assert_same(&folder.join("sdb.img"), &data);
    assert!(!folder.join("sda.img").exists());
    let sentence = world.refused(1, &["mount", "m", text(&folder)]);
    assert!(sentence.contains("not an empty directory"), "{sentence}");
    let sentence = world.refused(1, &["mount", "m", text(&world.path("nowhere"))]);
    assert!(sentence.contains("there is no directory") && sentence.contains("nowhere"), "{sentence}");
    assert_eq!(mount.interrupt(), Some(0), "{}", mount.log());
    assert!(!is_mounted(&folder));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_point_as_a_network_disk() {
    let (world, [disk, data]) = with_two_disks();
    let socket = world.path("socket");
    let listen = format!("unix:{}", text(&socket));
    let mut server = world.start(&["serve", "m", "--listen", &listen]);
    server.wait_for("serving sda, sdb on");
    let uri = |export: &str| format!("nbd+unix:///{export}?socket={}", text(&socket));
    assert_eq!(run("nbdinfo", ["--size", &uri("sda")]).trim(), (40 * MIB).to_string());
    assert_eq!(run("nbdinfo", ["--size", &uri("sdb")]).trim(), (16 * MIB + 512).to_string());
    let list = run("nbdinfo", ["--list", "--json", &uri("")]);
    assert!(list.contains("\"sda\"") && list.contains("\"sdb\""), "{list}");
    assert!(run("nbdinfo", ["--map", &uri("sda")]).contains("hole"));
    assert_eq!(output("nbdinfo", ["--is", "read-only", &uri("sda")]).status.code(), Some(0));
    let copied = world.path("copied.img");
    run("nbdcopy", [&uri("sda"), text(&copied)]);
    assert_same(&copied, &disk);
    run("qemu-img", ["compare", "-f", "raw", "-F", "raw", &uri("sdb"), text(&data)]);
    assert_eq!(server.interrupt(), Some(0), "{}", server.log());
    assert!(!socket.exists(), "nothing is left behind");

    // One partition, on a port that the system chooses.
    let mut server = world.start(&["serve", "m:sda:2", "--listen", "127.0.0.1:0", "--json"]);
    server.wait_for("}");
    let said: serde_json::Value = server.json();
    let address = said["addresses"][0].as_str().unwrap().trim_end_matches('/');
    let export = said["exports"][0].as_str().unwrap();
    assert_eq!(run("nbdinfo", ["--size", &format!("{address}/{export}")]).trim(), (16 * MIB).to_string());
    run("nbdcopy", [&format!("{address}/{export}"), text(&copied)]);
    run("ntfsinfo", ["-m", text(&copied)]);
    assert_eq!(server.interrupt(), Some(0), "{}", server.log());
}
