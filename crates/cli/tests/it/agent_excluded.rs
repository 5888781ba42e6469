//! `--exclude` of an agent: what is left out at a server follows files as they move on the machine, and nothing else is left out.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::live::{EXT4, command};
use crate::server::Service;
use crate::tools::{Loop, Mount, Numbers, output, patiently, run, sparse, text};
use crate::world::{Running, World};

const BIG: usize = 8 << 20;

/// Ends marking whatever happens.
pub(crate) struct Unfollow<'w>(pub(crate) &'w World, pub(crate) [String; 4]);

impl Drop for Unfollow<'_> {
    fn drop(&mut self) {
        let args: Vec<&str> = self.1.iter().map(String::as_str).chain(["--unfollow"]).collect();
        let said = command(self.0, &args).output();
        assert!(std::thread::panicking() || said.is_ok_and(|said| said.status.success()), "marks were left");
    }
}

fn write(path: &Path, content: &[u8]) {
    let mut file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
}

/// Waits for a point of all that was written before; its disk.
fn later(service: &Service<'_>, running: &Running) -> Value {
    let before = service.points("ex");
    assert!(patiently(|| service.points("ex") >= before + 2), "no points: {}", running.log());
    service.store(&["show", "ex"])["disks"][0].clone()
}

/// So much is left out, and nothing else but, at most, what was left out before and nothing uses now.
fn leaves_out(disk: &Value, bytes: usize) {
    let pages = disk["excluded_pages"].as_u64().unwrap() as usize;
    assert!((bytes / 4096..=(bytes + BIG / 8) / 4096).contains(&pages), "{bytes}: {disk}");
}

#[test]
fn what_is_left_out_follows_files_to_a_server() {
    let world = World::new();
    let service = Service::new(&world);
    let dir = service.enrolled("ex");
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    // Large enough for blocks of 4 KiB: of smaller ones, pages at the ends of a file are kept.
    sparse(&image, 512 << 20);
    fs::create_dir(&folder).unwrap();
    let device = Loop::new(&image, 512);
    run(EXT4.make[0], EXT4.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", EXT4.mount], device.path(), &folder);
    fs::create_dir(folder.join("cache")).unwrap();
    write(&folder.join("cache/big"), &Numbers(1).bytes(BIG));
    write(&folder.join("cd.iso"), &Numbers(2).bytes(BIG));
    write(&folder.join("kept"), &Numbers(3).bytes(BIG / 8));
    let args = ["agent", device.path(), "--dir", text(&dir)];
    let unfollow = Unfollow(&world, args.map(str::to_owned));
    let start = |more: &[&str]| {
        let mut command = command(&world, &[&args[..], &["--every", "1s"], more].concat());
        command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
        world.start_as(command)
    };
    // From the file, as a service has it.
    let config = world.path("agent.toml");
    fs::write(&config, "exclude = ['/cache', '*.iso', '/nothing']\n").unwrap();
    let rules = ["--config", text(&config)];
    let mut running = start(&rules);
    let disk = later(&service, &running);
    assert_eq!(disk["excluded_pages"], 2 * BIG / 4096, "{disk}");
    assert_eq!((&disk["excluded"][0]["rule"], &disk["excluded"][0]["bytes"]), (&"/cache".into(), &BIG.into()));
    running.wait_for("--exclude /nothing names no file now");

    // It moves out, and is read though its pages do not change; another has a second name outside; something moves in.
    fs::rename(folder.join("cache/big"), folder.join("big")).unwrap();
    fs::hard_link(folder.join("cd.iso"), folder.join("cd")).unwrap();
    fs::rename(folder.join("kept"), folder.join("kept.iso")).unwrap();
    let disk = later(&service, &running);
    assert_eq!(disk["excluded_pages"], BIG / 8 / 4096, "{disk}");
    // What was left out grows; what takes the place of what was left out is kept.
    fs::remove_file(folder.join("kept.iso")).unwrap();
    write(&folder.join("cache/grown"), &Numbers(4).bytes(BIG));
    write(&folder.join("new"), &Numbers(5).bytes(BIG));
    later(&service, &running);

    // Through a death of the agent.
    running.signal("KILL");
    running.end();
    write(&folder.join("cache/grown"), &Numbers(6).bytes(2 * BIG));
    fs::rename(folder.join("new"), folder.join("cache/new")).unwrap();
    let mut running = start(&rules);
    let disk = later(&service, &running);
    leaves_out(&disk, 3 * BIG);
    fs::rename(folder.join("cache/new"), folder.join("new")).unwrap();
    let disk = later(&service, &running);
    leaves_out(&disk, 2 * BIG);
    assert_eq!(running.log().matches("compared").count(), 0, "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());

    let expected = [("big", 1), ("cd", 2), ("cd.iso", 2), ("new", 5)];
    holds(&world, &service, &expected);

    // Without the choices everything is kept again that anything uses.
    let mut running = start(&[]);
    let disk = later(&service, &running);
    leaves_out(&disk, 0);
    assert!(disk["excluded"].as_array().is_some_and(Vec::is_empty), "{disk}");
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    drop((unfollow, mount));
    let restored = holds(&world, &service, &expected);
    let again = Loop::new(&restored, 512);
    let shown = Mount::new(&["-o", "ro"], again.path(), &folder);
    assert!(fs::read(folder.join("cache/grown")).unwrap() == Numbers(6).bytes(2 * BIG));
    drop(shown);
    assert_eq!(service.store(&["check", "--read-data"])["clean"], true);
}

/// The newest point comes back as a whole file system with these files; the image.
fn holds(world: &World, service: &Service<'_>, files: &[(&str, u64)]) -> std::path::PathBuf {
    let restored = service.restored("ex");
    assert!(output("e2fsck", ["-f", "-n", text(&restored)]).status.success());
    let folder = world.path("looked");
    let again = Loop::new(&restored, 512);
    let shown = Mount::new(&["-o", "ro"], again.path(), &folder);
    for (name, seed) in files {
        assert!(fs::read(folder.join(name)).unwrap() == Numbers(*seed).bytes(BIG), "{name}");
    }
    drop(shown);
    restored
}
