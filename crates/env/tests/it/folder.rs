//! The folder home: what it does beyond the suite.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::real::folder::{Folder, FolderError};

use crate::tools::{Mount, run, sparse};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn home() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(dir.path().join("deep/home")).unwrap();
    (dir, folder)
}

fn reason(error: &ObjectError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn an_object_is_a_plain_file_under_its_name() {
    let (_dir, home) = home();
    home.put(&key("packs/ab/one"), &[b"he", b"", b"llo"]).unwrap();
    assert_eq!(fs::read(home.path().join("packs/ab/one")).unwrap(), b"hello");
    let mode = fs::metadata(home.path().join("packs/ab/one")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(home.path().join(".tmp")).unwrap().count(), 0, "no temporary file stays");
}

#[test]
fn what_was_opened_stays_readable_when_deleted_or_replaced() {
    let (_dir, home) = home();
    home.put(&key("a/b"), &[b"old"]).unwrap();
    let old = home.open(&key("a/b")).unwrap();
    home.put(&key("a/b"), &[b"newer"]).unwrap();
    let newer = home.open(&key("a/b")).unwrap();
    home.delete(&key("a/b")).unwrap();
    let mut bytes = [0; 3];
    old.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"old");
    assert_eq!(newer.size(), 5);
    assert!(matches!(home.get(&key("a/b")), Err(ObjectError::NotFound(_))));
}

#[test]
fn leftovers_of_a_crash_are_swept_and_a_living_writers_file_is_not() {
    let (_dir, home) = home();
    home.put(&key("a/b"), &[b"x"]).unwrap();
    let temp = home.path().join(".tmp");
    let (dead, living) = (temp.join("d".repeat(32)), temp.join("a".repeat(32)));
    fs::write(&dead, b"half").unwrap();
    fs::write(temp.join("somebody's"), b"not ours").unwrap();
    let alive = fs::File::create(&living).unwrap();
    alive.lock().unwrap();
    assert_eq!(home.list(&key("a")).unwrap().len(), 1, "a listing ignores leftovers");
    Folder::open(home.path()).unwrap();
    assert!(!dead.exists());
    assert!(living.exists());
    assert!(temp.join("somebody's").exists(), "a folder named by mistake loses nothing");
}

#[test]
fn a_symbolic_link_in_the_way_is_refused() {
    let (dir, home) = home();
    home.put(&key("real/b"), &[b"x"]).unwrap();
    symlink(home.path().join("real"), home.path().join("linked")).unwrap();
    symlink(home.path().join("real/b"), home.path().join("real/c")).unwrap();
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    for name in ["linked/b", "real/c"] {
        let error = home.get(&key(name)).unwrap_err();
        assert!(reason(&error).contains("symbolic link"), "{name}: {error:?}");
    }
    assert!(reason(&home.put(&key("linked/new"), &[b"x"]).unwrap_err()).contains("symbolic link"));
    assert!(reason(&home.list(&key("real")).unwrap_err()).contains("symbolic link"));
    // As the last part a link is replaced, never followed.
    home.put(&key("real/c"), &[b"mine"]).unwrap();
    assert_eq!(home.get(&key("real/b")).unwrap(), b"x");
    assert_eq!(home.get(&key("real/c")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_vanished_is_never_an_empty_one() {
    let (_dir, home) = home();
    home.put(&key("a/b"), &[b"x"]).unwrap();
    fs::remove_dir_all(home.path()).unwrap();
    for error in [
        home.get(&key("a/b")).unwrap_err(),
        home.list(&key("a")).unwrap_err(),
        home.delete(&key("a/b")).unwrap_err(),
        home.put(&key("a/b"), &[b"x"]).unwrap_err(),
    ] {
        assert!(reason(&error).contains("is gone"), "{error:?}");
    }
}

#[test]
fn a_name_is_not_both_an_object_and_a_folder() {
    let (_dir, home) = home();
    home.put(&key("a"), &[b"x"]).unwrap();
    assert!(matches!(home.put(&key("a/b"), &[b"x"]), Err(ObjectError::Io { .. })));
    assert!(matches!(home.get(&key("a/b")), Err(ObjectError::NotFound(_))));
    home.delete(&key("a/b")).unwrap();
    assert_eq!(home.list(&key("a")).unwrap(), vec![]);
    home.put(&key("c/d"), &[b"x"]).unwrap();
    assert!(matches!(home.get(&key("c")), Err(ObjectError::NotFound(_))));
    home.delete(&key("c")).unwrap();
    assert_eq!(home.get(&key("c/d")).unwrap(), b"x");
}

#[test]
fn foreign_files_are_nobodys_business() {
    let (_dir, home) = home();
    home.put(&key("a/b"), &[b"x"]).unwrap();
    fs::write(home.path().join("a/.nfs0001"), b"").unwrap();
    fs::write(home.path().join("a/Read Me"), b"").unwrap();
    fs::create_dir(home.path().join("a/lost+found")).unwrap();
    let listed = home.list(&key("a")).unwrap();
    assert_eq!(listed.iter().map(|l| l.key.as_str()).collect::<Vec<_>>(), ["a/b"]);
}

#[test]
fn what_is_no_folder_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let said = |result: Result<Folder, FolderError>| result.err().unwrap().to_string();
    let missing = dir.path().join("missing");
    assert_eq!(said(Folder::open(&missing)), format!("there is no folder {}", missing.display()));
    assert_eq!(said(Folder::open(&file)), format!("{} is not a folder", file.display()));
    assert_eq!(said(Folder::create(&file)), format!("{} is not a folder", file.display()));
    let below = file.join("below");
    assert_eq!(said(Folder::create(&below)), format!("{} is not a folder", below.display()));
}

#[test]
fn a_full_file_system_is_as_it_was_and_works_again_when_space_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 16 << 20);
    run("mkfs.ext4", ["-q".as_ref(), "-m0".as_ref(), image.as_os_str()]);
    let mount = Mount::new(&["-o", "loop"], &image, &dir.path().join("mount"));
    let home = Folder::create(mount.path().join("home")).unwrap();
    let big = vec![7; 4 << 20];
    home.put(&key("a/kept"), &[b"kept"]).unwrap();
    let mut names = (0..).map(|n| key(&format!("a/{n}")));
    let full = names.find_map(|name| home.put(&name, &[&big]).err().map(|e| (name, e))).unwrap();
    assert!(matches!(full.1, ObjectError::NoSpace(_)), "{:?}", full.1);
    assert!(matches!(home.put_new(&full.0, &[&big]), Err(ObjectError::NoSpace(_))));
    assert!(matches!(home.put(&key("a/kept"), &[&big]), Err(ObjectError::NoSpace(_))));
    assert_eq!(home.get(&key("a/kept")).unwrap(), b"kept");
    assert!(matches!(home.get(&full.0), Err(ObjectError::NotFound(_))));
    assert_eq!(fs::read_dir(home.path().join(".tmp")).unwrap().count(), 0, "nothing stays behind");
    home.delete(&key("a/0")).unwrap();
    home.put_new(&full.0, &[&big]).unwrap();
    assert!(home.get(&full.0).unwrap() == big);
}

#[test]
fn a_read_only_file_system_can_be_read_and_refuses_changes() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    sparse(&image, 16 << 20);
    run("mkfs.ext4", ["-q".as_ref(), image.as_os_str()]);
    let point = dir.path().join("mount");
    {
        let mount = Mount::new(&["-o", "loop"], &image, &point);
        let home = Folder::create(mount.path().join("home")).unwrap();
        home.put(&key("a/b"), &[b"x"]).unwrap();
        fs::write(home.path().join(".tmp").join("e".repeat(32)), b"x").unwrap();
    }
    let mount = Mount::new(&["-o", "loop,ro"], &image, &point);
    let home = Folder::open(mount.path().join("home")).unwrap();
    assert_eq!(home.get(&key("a/b")).unwrap(), b"x");
    assert_eq!(home.list(&key("a")).unwrap().len(), 1);
    for refused in [
        home.put(&key("a/b"), &[b"y"]),
        home.put_new(&key("a/c"), &[b"y"]),
        home.put_new(&key("new/c"), &[b"y"]),
        home.delete(&key("a/b")),
    ] {
        assert!(matches!(refused, Err(ObjectError::Denied { .. })), "{refused:?}");
    }
    let created = Folder::create(mount.path().join("another"));
    assert!(matches!(created, Err(FolderError::Denied { .. })), "{:?}", created.err());
}

/// Every file system that people put a store on: the renames and locks that a folder needs differ.
#[test]
fn other_file_systems_do_too() {
    let dir = tempfile::tempdir().unwrap();
    for (make, size) in [("mkfs.xfs", 300 << 20), ("mkfs.btrfs", 128 << 20)] {
        let image = dir.path().join(make);
        sparse(&image, size);
        run(make, ["-q".as_ref(), image.as_os_str()]);
        let mount = Mount::new(&["-o", "loop"], &image, &dir.path().join("mount"));
        let home = Folder::create(mount.path().join("home")).unwrap();
        home.put_new(&key("a/b"), &[b"1"]).unwrap();
        assert!(matches!(home.put_new(&key("a/b"), &[b"2"]), Err(ObjectError::Exists(_))));
        home.put(&key("a/b"), &[b"3"]).unwrap();
        assert_eq!(Folder::open(home.path()).unwrap().get(&key("a/b")).unwrap(), b"3");
    }
}
