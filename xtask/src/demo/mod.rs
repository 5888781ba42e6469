//! `cargo xtask demo`: the main job from end to end, on a real ext4 on a loop device and a store in a folder.
//!
//! Whatever it claims it has compared. Never knows: how anything is stored; it types commands, as a person would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fail::{During, Fail, Result};
use crate::guards::{Interrupt, Loop, Mount};
use crate::{run, setup};

mod backstay;

use backstay::{Backstay, Running};

const MACHINE: &str = "office";
const DISK_BYTES: u64 = 256 << 20;

/// Where the demo's things are.
struct Home {
    dir: PathBuf,
    disk: PathBuf,
    mounted: PathBuf,
    /// Copies of the files as they were before the accident.
    first: PathBuf,
    /// Copies of the files as they were after it.
    second: PathBuf,
}

/// Runs the demo.
/// # Errors
/// Anything that did not work, or did not give back what was protected.
pub(crate) fn main() -> Result<()> {
    setup::install(setup::Set::Test)?;
    let interrupt = Interrupt::listen()?;
    let home = fresh_home()?;
    let backstay = Backstay::build(&home.dir)?;
    interrupt.check()?;
    let first = make_history(&home, &backstay, &interrupt)?;
    interrupt.check()?;
    get_back(&home, &backstay, &first, &interrupt)?;
    where_to_look(&backstay, &first);
    Ok(())
}

fn say(sentence: &str) {
    println!("\n== {sentence}");
}

fn fresh_home() -> Result<Home> {
    let dir = run::keep("demo");
    if dir.exists() {
        run::output(run::as_root("rm")?.args(["-r", "--one-file-system"]).arg(&dir))?;
    }
    fs::create_dir_all(&dir).during(dir.display())?;
    fs::write(dir.join("passphrase"), "a passphrase for the demo\n").during("writing the passphrase")?;
    let (disk, mounted) = (dir.join("disk.img"), dir.join("mounted"));
    let (first, second) = (dir.join("files before"), dir.join("files after"));
    Ok(Home { dir, disk, mounted, first, second })
}

/// A disk in use, followed while files are written and an accident happens; answers the time of the newest point before that.
fn make_history(home: &Home, backstay: &Backstay, interrupt: &Interrupt) -> Result<String> {
    say("a disk of 256 MiB with an ext4 on it, on a loop device");
    let file = fs::File::create(&home.disk).during(home.disk.display())?;
    file.set_len(DISK_BYTES).during(home.disk.display())?;
    let disk = Loop::attach(&home.disk)?;
    run::output(run::as_root("mkfs.ext4")?.args(["-q", "-L", MACHINE, disk.device()]))?;
    let mount = Mount::new(disk.device(), &home.mounted, "defaults")?;
    write_files(home)?;
    interrupt.check()?;

    say("a store; and the disk is followed from now on, mounted and in use, with a point every second");
    let store = home.dir.join("store").display().to_string();
    backstay.run(&["init", &store])?;
    let protect = ["protect", disk.device(), "--store", &store, "--machine", MACHINE];
    let mut running = backstay.start(&[&protect[..], &["--every", "1s"]].concat())?;
    let mut wait = |points: usize| wait_for_points(backstay, &mut running, points, interrupt);
    wait(1)?;
    for number in 1..=3 {
        println!("(letter {number} is written)");
        write_letter(home, number)?;
        wait(1)?;
    }
    copy(&home.mounted, &home.first)?;
    let before = wait(2)?;

    say("an accident: one letter is rewritten, another is deleted");
    change_files(home)?;
    copy(&home.mounted, &home.second)?;
    sync(home)?;
    wait(2)?;
    drop(running);
    backstay.run(&[&protect[..], &["--unfollow"]].concat())?;
    backstay.run(&["points", MACHINE])?;
    drop(mount);
    Ok(before)
}

/// Until there are so many points more than now; the time of the newest.
fn wait_for_points(backstay: &Backstay, running: &mut Running, more: usize, interrupt: &Interrupt) -> Result<String> {
    let begin = backstay.points(MACHINE)?.len();
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let points = backstay.points(MACHINE)?;
        match points.last() {
            Some(newest) if points.len() >= begin + more => return Ok(newest.clone()),
            _ if Instant::now() > patience => return Err(Fail::new("no new point for two minutes")),
            _ => {}
        }
        interrupt.check()?;
        running.check()?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn get_back(home: &Home, backstay: &Backstay, first: &str, interrupt: &Interrupt) -> Result<()> {
    say("the deleted letter, from the moment before");
    let letter = home.dir.join("contract.txt");
    let to = letter.display().to_string();
    backstay.run(&["files", "ls", MACHINE, "--at", first, "/letters"])?;
    backstay.run(&["files", "get", MACHINE, "--at", first, "/letters/contract.txt", "--to", &to])?;
    same(&letter, &home.first.join("letters/contract.txt"))?;
    interrupt.check()?;

    say("the whole disk as it is now, then in place back to the moment before; each is mounted and compared");
    let restored = home.dir.join("restored.img");
    let to = restored.display().to_string();
    backstay.run(&["restore", MACHINE, "--at", "latest", "--to", &to])?;
    same_files(&restored, &home.mounted, &home.second)?;
    interrupt.check()?;
    backstay.run(&["restore", MACHINE, "--at", first, "--to", &to, "--delta", "--yes"])?;
    same_files(&restored, &home.mounted, &home.first)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run::output(run::as_root("cp")?.arg("--archive").args([from, to])).map(drop)
}

/// Compares the files on a restored disk with copies made when it was protected. Bytes that no file uses are not stored,
/// so the images themselves differ.
fn same_files(image: &Path, folder: &Path, expected: &Path) -> Result<()> {
    // A copy, because mounting replays the journal, which writes.
    let looked_at = image.with_extension("mounted.img");
    run::output(run::as_root("cp")?.arg("--sparse=always").args([image, &looked_at]))?;
    let disk = Loop::attach(&looked_at)?;
    let mount = Mount::new(disk.device(), folder, "ro")?;
    run::run(run::as_root("diff")?.args(["--recursive", "--no-dereference"]).args([expected, folder]))?;
    drop(mount);
    drop(disk);
    run::output(run::as_root("rm")?.arg(&looked_at))?;
    println!("compared: every file is as in `{}`", expected.display());
    Ok(())
}

/// Letters, a copy of the project's pages, and a mailbox large enough to see that it is not stored twice.
fn write_files(home: &Home) -> Result<()> {
    let plain = home.dir.join("files");
    let letters = plain.join("letters");
    fs::create_dir_all(&letters).during(letters.display())?;
    fs::write(letters.join("contract.txt"), "We agree on everything.\n").during("writing a letter")?;
    fs::write(letters.join("offer.txt"), "Ten servers, at a fair price.\n").during("writing a letter")?;
    let mailbox: String = (0..200_000).map(|n| format!("From: customer {n}\nDear all, number {n}.\n\n")).collect();
    fs::write(plain.join("mailbox"), mailbox).during("writing a mailbox")?;
    run::output(run::as_root("cp")?.arg("--recursive").arg(run::root().join("docs")).arg(&plain))?;
    run::output(run::as_root("cp")?.arg("--recursive").arg(plain.join(".")).arg(&home.mounted))?;
    run::output(run::as_root("rm")?.arg("-r").arg(&plain)).map(drop)
}

fn write_letter(home: &Home, number: u32) -> Result<()> {
    let letter = home.dir.join("letter.txt");
    fs::write(&letter, format!("Letter {number}: all is well.\n")).during("writing a letter")?;
    let to = home.mounted.join(format!("letters/letter {number}.txt"));
    run::output(run::as_root("cp")?.args([&letter, &to]))?;
    fs::remove_file(&letter).during(letter.display())
}

fn change_files(home: &Home) -> Result<()> {
    let letters = home.mounted.join("letters");
    let offer = home.dir.join("offer.txt");
    fs::write(&offer, "Twenty servers, at a better price.\n").during("writing a letter")?;
    run::output(run::as_root("cp")?.args([&offer, &letters.join("offer.txt")]))?;
    run::output(run::as_root("rm")?.arg(letters.join("contract.txt")))?;
    fs::remove_file(&offer).during(offer.display())
}

fn sync(home: &Home) -> Result<()> {
    run::output(run::program("sync").arg("--file-system").arg(&home.mounted)).map(drop)
}

fn same(found: &Path, wanted: &Path) -> Result<()> {
    run::output(run::as_root("cmp")?.args([found, wanted]))?;
    println!("compared: {} is right to the last byte", found.display());
    Ok(())
}

fn where_to_look(backstay: &Backstay, first: &str) {
    say("done. The store is still there; to go on by hand:");
    println!("{}", backstay.settings());
    println!("backstay show {MACHINE} --at '{first}'");
    println!("backstay mount {MACHINE} --at latest DIR    # disks and files as folders");
    println!("backstay serve {MACHINE} --at latest        # the disk over NBD, for qemu and others");
    println!("backstay check --read-data                  # every byte verified");
    println!("\nARCHITECTURE.md shows the inside, docs/format the bytes, docs/results.md the figures.");
}
