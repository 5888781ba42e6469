//! A dead server brought back from its store alone: people, machines with their old certificates, the audit log; and servers that
//! claim the same store.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::server::Service;
use crate::tools::{Numbers, assert_same, noisy_image, patiently, poke, run, text};
use crate::world::World;

const MIB: u64 = 1 << 20;

/// What a server keeps of itself in a store: the names of such objects.
fn kept(store: &Path, kind: &str) -> Vec<PathBuf> {
    let folder = store.join("vault/main/server").join(kind);
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    all.sort();
    all
}

fn agent(world: &World, image: &Path, dir: &Path) -> Value {
    let mut command = world.command(&["agent", text(image), "--dir", text(dir), "--once", "--json"]);
    let out = command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE").output().unwrap();
    assert!(out.status.success(), "{out:?}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Takes all of a server's machine away but its store and the passphrase, which somebody kept elsewhere.
fn burn(world: &World, service: &Service<'_>) -> (PathBuf, PathBuf) {
    let (store, passphrase) = (world.path("what-is-left"), world.path("kept-passphrase"));
    fs::rename(service.data.join("store"), &store).unwrap();
    fs::copy(service.data.join("keys/store"), &passphrase).unwrap();
    fs::rename(&service.data, world.path("ashes")).unwrap();
    (store, passphrase)
}

fn recover(store: &Path, passphrase: &Path, data: &Path) -> Vec<String> {
    let words =
        ["server", "--recover", "--store", text(store), "--passphrase-file", text(passphrase), "--data", text(data)];
    words.map(str::to_owned).to_vec()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn from_the_store_alone() {
    let world = World::new();
    let mut service = Service::new(&world);
    let image = world.path("web.img");
    noisy_image(&image, 24 * MIB, 1);
    let dir = service.enrolled("web");
    assert_eq!(agent(&world, &image, &dir)["point"], 1);
    let newest = |store: &Path| kept(store, "kept").pop();
    let store = service.data.join("store");
    assert!(patiently(|| newest(&store).is_some()), "what was changed is kept");
    // Being there is no change: in the end nothing more is.
    assert!(patiently(|| {
        let before = newest(&store);
        service.somebody("admin");
        std::thread::sleep(std::time::Duration::from_secs(5));
        before == newest(&store)
    }));
    let key = fs::read_to_string(service.data.join("audit/key")).unwrap();
    service.kill();
    let old_log = world.path("checkpoint");
    fs::copy(service.data.join("audit/checkpoint"), &old_log).unwrap();
    let size = |data: &Path| -> u64 {
        let note = fs::read_to_string(data.join("audit/checkpoint")).unwrap();
        note.lines().nth(1).unwrap().parse().unwrap()
    };
    let before = size(&service.data);
    let (store, passphrase) = burn(&world, &service);

    // A server of other people's does not just take the store.
    let stranger = world.path("stranger");
    let sentence = world.refused(
        4,
        &[
            "server",
            "--data",
            text(&stranger),
            "--listen",
            "127.0.0.1:0",
            "--store",
            text(&store),
            "--passphrase-file",
            text(&passphrase),
        ],
    );
    assert!(
        sentence.contains("is served by another server, localhost") && sentence.contains("--recover"),
        "{sentence}"
    );

    let data = world.path("new");
    let wrong = world.path("passphrase");
    let sentence = world.refused(4, &strs(&recover(&store, &wrong, &world.path("no"))));
    assert!(sentence.contains("passphrase"), "{sentence}");
    let said = world.json(&strs(&recover(&store, &passphrase, &data)));
    assert_eq!((said["machines"].as_u64(), said["passed_over"].as_array().map(Vec::len)), (Some(1), Some(0)), "{said}");
    // Not one record was lost, and there is one more.
    assert_eq!(said["records"].as_u64(), Some(before + 1), "{said}");
    let sentence = world.refused(4, &strs(&recover(&store, &passphrase, &data)));
    assert!(sentence.contains("has a server's data already"), "{sentence}");

    // Its settings say where the store is.
    service.data = data.clone();
    service.start();
    assert_eq!(service.code, "", "there is an administrator");
    service.somebody("olga");
    poke(&image, 5 * MIB, &Numbers(5).bytes(8192));
    let second = agent(&world, &image, &dir);
    assert!(second["point"] == 2 && second["changed_pages"].as_u64().unwrap() <= 3, "{second}");
    let mut running = service.running.take().unwrap();
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    let again = world.path("again.img");
    let place = ["--store", text(&store), "--passphrase-file", text(&passphrase)];
    run(env!("CARGO_BIN_EXE_backstay"), [&["restore", "web", "--to", text(&again), "--yes"][..], &place].concat());
    assert_same(&again, &image);

    // An auditor who has a checkpoint from before sees one log that goes on.
    let audit = ["audit", "verify", text(&data.join("audit")), "--key", key.trim(), "--since", text(&old_log)]
        .map(str::to_owned);
    world.ok(&strs(&audit));
    // The dead one rises: it is refused, and so is a copy of the new one's folder from before.
    let risen = world.path("ashes");
    fs::remove_dir_all(risen.join("store")).unwrap_or_default();
    let sentence = world.refused(
        4,
        &["server", "--data", text(&risen), "--listen", "127.0.0.1:0", place[0], place[1], place[2], place[3]],
    );
    assert!(sentence.contains("is served by another server"), "{sentence}");
}

#[test]
fn from_an_older_copy_of_what_it_was() {
    let world = World::new();
    let mut service = Service::new(&world);
    let store = service.data.join("store");
    assert!(patiently(|| !kept(&store, "kept").is_empty()));
    let dir = service.enrolled("late");
    assert!(patiently(|| kept(&store, "kept").len() >= 2));
    assert!(patiently(|| fs::metadata(store.join("vault/main/server/audit/checkpoint")).is_ok()));
    service.kill();
    let (store, passphrase) = burn(&world, &service);
    // The newest are damaged: what was before them is taken, and said.
    let all = kept(&store, "kept");
    for newest in &all[1..] {
        fs::write(newest, b"gone").unwrap();
    }
    let data = world.path("new");
    let said = world.json(&strs(&recover(&store, &passphrase, &data)));
    assert_eq!(said["passed_over"].as_array().map(Vec::len), Some(all.len() - 1), "{said}");
    assert_eq!(said["machines"], 0, "{said}");
    service.data = data.clone();
    service.start();
    // The log knows more than the catalogue, and goes on. The machine that is not known is turned away.
    let image = world.path("late.img");
    noisy_image(&image, MIB, 1);
    let mut command = world.command(&["agent", text(&image), "--dir", text(&dir), "--once"]);
    assert!(!command.env_remove("BACKSTAY_STORE").output().unwrap().status.success());
    let mut running = service.running.take().unwrap();
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    world.ok(&["audit", "verify", text(&data.join("audit"))]);

    // A data folder that was put back from a copy does not go on from there: the store knows better.
    let copy = world.path("copy");
    run("cp", ["-a", text(&data), text(&copy)]);
    service.start();
    let mut running = service.running.take().unwrap();
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    let words = ["server", "--data", text(&copy), "--listen", "127.0.0.1:0", "--name", "localhost"];
    let mut command = world.command(&words);
    let sentence = world.refused_by(4, command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE"));
    assert!(sentence.contains("does not go on from its copy in the store"), "{sentence}");
}

#[test]
fn who_was_taken_over_ends() {
    let world = World::new();
    let (store, passphrase) = (world.path("store-of-two"), world.path("passphrase"));
    let place = ["--store", text(&store), "--passphrase-file", text(&passphrase)];
    let start = |data: &str| {
        let data = world.path(data);
        let words = ["server", "--data", text(&data), "--listen", "127.0.0.1:0", "--name", "localhost"];
        let mut running = world.start(&[&words[..], &place].concat());
        running.wait_for("address");
        running
    };
    let mut first = start("first");
    assert!(patiently(|| !kept(&store, "kept").is_empty()));
    let data = world.path("second");
    let said = world.json(&strs(&recover(&store, &passphrase, &data)));
    assert!(said["records"].as_u64().unwrap() > 1, "{said}");
    assert_eq!(first.end(), Some(4), "{}", first.log());
    assert!(first.log().contains("another server has taken over vault main"), "{}", first.log());
    let mut second = start("second");
    assert_eq!(second.interrupt(), Some(0), "{}", second.log());
    world.ok(&["audit", "verify", text(&data.join("audit"))]);
    assert_eq!(json!(kept(&store, "claim").len()), 2);
}
