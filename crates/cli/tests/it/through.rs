//! Commands through a server: the same words as on its store, by people with different roles, judged by e2fsck and diff; and what they
//! are told when it does not work.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{PASSWORD, Service};
use crate::tools::{Numbers, assert_same, output, poke, run, text};
use crate::world::{Said, World, said, sentence};

const MIB: u64 = 1 << 20;

/// A server with two points of the machine `web`, and people who are logged in there.
struct Through<'w> {
    service: Service<'w>,
    image: PathBuf,
    agent: PathBuf,
}

impl<'w> Through<'w> {
    fn new(world: &'w World) -> Self {
        let service = Service::new(world);
        for (name, role) in [("rita", "restore-operator"), ("aud", "auditor")] {
            let grants = json!([{ "role": role, "scope": "all" }]);
            let person = json!({ "name": name, "password": PASSWORD, "grants": grants });
            assert_eq!(service.somebody("admin").post("/api/v1/people", &person).0, 201);
        }
        fs::write(world.path("password"), PASSWORD).unwrap();
        let (image, agent) = (world.path("web.img"), service.enrolled("web"));
        tree_image(world, &image);
        let through = Through { service, image, agent };
        through.protect();
        let write = format!("write {} /second", text(&world.path("tree/home/deep/er/x")));
        run("debugfs", ["-w", "-R", &write, text(&through.image)]);
        through.protect();
        for name in ["rita", "olga", "aud"] {
            let made = through.as_json(name, &through.login(name));
            assert_eq!((&made["person"], made["roles"].as_array().unwrap().len()), (&json!(name), 1));
        }
        through
    }

    fn protect(&self) {
        let args = ["agent", text(&self.image), "--dir", text(&self.agent), "--once"];
        let done = said(&mut self.service.world.command(&args));
        assert_eq!(done.status, Some(0), "{done:?}");
    }

    /// SHA-256 of the authority's certificate, as OpenSSL prints it.
    fn authority(&self) -> String {
        let certificate = self.service.data.join("ca/certificate.pem");
        let said = run("openssl", ["x509", "-noout", "-fingerprint", "-sha256", "-in", text(&certificate)]);
        said.trim().split('=').nth(1).unwrap().to_owned()
    }

    fn login(&self, name: &str) -> Vec<String> {
        let password = text(&self.service.world.path("password")).to_owned();
        let words = ["login", &self.service.url(), "--authority", &self.authority(), "--name", name];
        words.iter().map(|word| (*word).to_owned()).chain(["--password-file".to_owned(), password]).collect()
    }

    /// The program as somebody with a folder for what they know, and without a store.
    fn command(&self, who: &str, args: &[impl AsRef<str>]) -> Command {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let mut command = self.service.world.command(&args);
        command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
        command.env("XDG_CONFIG_HOME", self.service.world.path(who)).env("BACKSTAY_SERVER", self.service.url());
        command
    }

    fn run(&self, who: &str, args: &[impl AsRef<str>]) -> Said {
        said(&mut self.command(who, args))
    }

    fn ok(&self, who: &str, args: &[impl AsRef<str>]) -> String {
        let said = self.run(who, args);
        assert_eq!(said.status, Some(0), "{said:?}");
        said.out
    }

    fn as_json(&self, who: &str, args: &[impl AsRef<str>]) -> Value {
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).chain(["--json"]).collect();
        let out = self.ok(who, &args);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e} in {out}"))
    }

    fn refused(&self, status: i32, who: &str, args: &[impl AsRef<str>]) -> String {
        sentence(status, &self.run(who, args))
    }

    /// The same on the server's own store.
    fn on_store(&self, args: &[&str]) -> String {
        let (store, key) = (self.service.data.join("store"), self.service.data.join("keys/store"));
        let place = ["--store", text(&store), "--passphrase-file", text(&key)];
        let said = said(&mut self.service.world.command(&[args, &place].concat()));
        assert_eq!(said.status, Some(0), "{said:?}");
        said.out
    }
}

/// An ext4 image of a tree.
fn tree_image(world: &World, image: &Path) {
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("home/deep/er")).unwrap();
    for (name, size) in
        [("home/empty", 0), ("home/note.txt", 12), ("home/deep/large", (1 << 20) - 1), ("home/deep/er/x", 4097)]
    {
        fs::write(tree.join(name), Numbers(size as u64).bytes(size)).unwrap();
    }
    symlink("note.txt", tree.join("home/link")).unwrap();
    fs::hard_link(tree.join("home/note.txt"), tree.join("home/deep/the same")).unwrap();
    fs::set_permissions(tree.join("home/deep/er"), fs::Permissions::from_mode(0o555)).unwrap();
    run("touch", ["-d", "2001-02-03T04:05:06Z", text(&tree.join("home/note.txt"))]);
    run("mke2fs", ["-q", "-t", "ext4", "-d", text(&tree), text(image), "48M"]);
}

#[test]
fn the_same_words_as_on_a_store() {
    let world = World::new();
    let through = Through::new(&world);
    let all: [&[&str]; 12] = [
        &["machines"],
        &["points", "web"],
        &["points", "web", "--limit", "1"],
        &["show", "web"],
        &["show", "web:web", "--at", "2030-01-01T00:00:00Z"],
        &["files", "ls", "web"],
        &["files", "ls", "web", "/home"],
        &["files", "ls", "web", "/home/note.txt"],
        &["files", "find", "web", "*e*"],
        &["files", "find", "web", "nothing"],
        &["suspend", "web", "--reason", "moving house", "--max", "1h"],
        &["resume", "web"],
    ];
    for args in all {
        // Who runs it is not who reads it.
        let who = if args[0].ends_with('d') || args[0] == "resume" { "olga" } else { "rita" };
        for json in [true, false] {
            let args = if json { [args, &["--json"]].concat() } else { args.to_vec() };
            let there = through.ok(who, &args);
            // Each makes its own suspension, at its own time.
            if args[0] != "suspend" {
                if args[0] == "resume" {
                    assert!(there.contains("was") || there.contains("is not suspended"), "{there}");
                } else {
                    assert_eq!(there, through.on_store(&args), "{args:?}");
                }
            } else {
                assert!(there.contains("moving house") || there.contains("is suspended until"), "{there}");
            }
        }
    }
    assert_eq!(through.as_json("rita", &["points", "web", "--limit", "1"])[0]["point"], 2);
    // Who may not look into points sees what they are, and not what is in them.
    let shown = through.as_json("olga", &["show", "web"]);
    assert!(shown["contents"].is_null() && shown["point"] == 2, "{shown}");
}

#[test]
fn files_and_disks_come_back_through_a_server() {
    let world = World::new();
    let through = Through::new(&world);
    let (got, disk) = (world.path("got"), world.path("disk.img"));
    let said = through.as_json("rita", &["files", "get", "web", "/home", "--to", text(&got)]);
    assert_eq!((&said["files"], &said["unreadable"]), (&json!(5), &json!([])), "{said}");
    let original = world.path("tree/home");
    run("diff", ["-r", "--no-dereference", text(&got), text(&original)]);
    let about = |folder: &Path| {
        // Links themselves are compared by diff.
        let listed =
            run("find", [text(folder), "-mindepth", "1", "!", "-type", "l", "-printf", "%P|%y|%m|%U:%G|%n|%Ts\\n"]);
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(about(&got), about(&original));
    through.ok("rita", &["files", "get", "web", "/home/note.txt", "--to", text(&world.path("note"))]);
    assert_same(&world.path("note"), &original.join("note.txt"));
    let again = ["files", "get", "web", "/home/empty", "--to", text(&world.path("note"))].map(str::to_owned);
    assert!(through.refused(4, "rita", &again).contains("there already"));

    through.ok("rita", &["restore", "web", "--to", text(&disk)]);
    assert_same(&disk, &through.image);
    assert!(fs::metadata(&disk).unwrap().len() == 48 * MIB);
    assert!(output("e2fsck", ["-f", "-n", text(&disk)]).status.success());
    assert!(through.refused(4, "rita", &["restore", "web", "--to", text(&disk)]).contains("--yes"));
    poke(&disk, MIB, b"something else");
    let said = through.as_json("rita", &["restore", "web", "--to", text(&disk), "--delta", "--yes", "--verify"]);
    let bytes = said["written_bytes"].as_u64().unwrap() + said["zeroed_bytes"].as_u64().unwrap();
    assert_eq!((bytes, &said["complete"]), (4096, &json!(true)), "{said}");
    assert_same(&disk, &through.image);
}

#[test]
fn work_is_planned_and_done_by_a_server() {
    let world = World::new();
    let through = Through::new(&world);
    let plan = through.as_json("olga", &["forget", "web", "--keep-yearly", "5y", "--dry-run"]);
    assert_eq!((plan["drop"].as_array().unwrap().len(), &plan["drop"][0]["point"]), (1, &json!(1)), "{plan}");
    assert!(through.refused(4, "olga", &["forget", "web", "--point", "1"]).contains("--yes"));
    assert!(through.refused(2, "olga", &["forget", "web", "--point", "7", "--yes"]).contains("no point 7"));
    assert!(through.refused(2, "olga", &["forget", "web"]).contains("what to keep"));
    let done = through.as_json("olga", &["forget", "web", "--point", "1", "--yes"]);
    assert_eq!((&done["dropped"][0]["point"], &done["kept"]), (&json!(1), &json!(1)), "{done}");
    assert!(through.ok("olga", &["reclaim", "--yes"]).contains("freed"));
    let found = through.as_json("olga", &["check", "--read-data"]);
    assert!(found["clean"] == true && found["checked_bytes"].as_u64().unwrap() > 0, "{found}");
    let jobs = through.as_json("olga", &["jobs"]);
    assert_eq!(jobs.as_array().unwrap().len(), 3, "{jobs}");
    assert!(through.ok("olga", &["jobs", "list"]).contains("reclaim"));
    assert!(through.refused(1, "olga", &["jobs", "cancel", "99"]).contains("no such job"));

    let made = through.as_json("olga", &["enrolments", "new", "mail"]);
    let dir = world.path("agent-mail");
    world.ok(&["enroll", &through.service.url(), made["code"].as_str().unwrap(), "--dir", text(&dir)]);
    let made = through.as_json("olga", &["enrolments", "new", "db", "--valid", "1h"]);
    through.ok("olga", &["enrolments", "revoke", &made["id"].to_string()]);
    let listed = through.ok("olga", &["enrolments", "list"]);
    assert!(listed.contains("used") && listed.contains("taken back"), "{listed}");

    let log = through.as_json("aud", &["audit", "show", "--no-heartbeats"]);
    let log = log.as_array().unwrap();
    assert!(log.iter().all(|line| line["kind"] != "heartbeat") && log[0]["record"] == 0);
    let by = |what: &str| log.iter().find(|line| line["what"] == what).map(|line| line["user"].clone());
    assert_eq!(by("job.start"), Some(json!("olga")));
    assert!(through.ok("aud", &["audit", "show"]).contains("enrolment.create"));
}

#[test]
fn damage_is_told_as_such_through_a_server() {
    let world = World::new();
    let mut through = Through::new(&world);
    through.service.again();
    let listed =
        run("find", [text(&through.service.data.join("store")), "-path", "*/pack/*", "-type", "f", "-size", "+900k"]);
    for path in listed.lines() {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let disk = world.path("disk.img");
    let said = through.run("rita", &["restore", "web", "--to", text(&disk), "--json"]);
    assert_eq!(said.status, Some(3), "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert!(!report["unreadable"].as_array().unwrap().is_empty() && report["complete"] == false, "{report}");
    // Everything else is there.
    assert_eq!(fs::metadata(&disk).unwrap().len(), 48 * MIB);
    let got = through.run("rita", &["files", "get", "web", "/home", "--to", text(&world.path("got"))]);
    assert_eq!(got.status, Some(3), "{got:?}");
    assert!(world.path("got/note.txt").exists(), "{got:?}");
    assert_eq!(through.run("olga", &["check", "--read-data"]).status, Some(3));
}

#[test]
fn refusals_are_one_sentence() {
    let world = World::new();
    let through = Through::new(&world);
    let url = through.service.url();
    let nobody = through.refused(4, "nobody", &["machines"]);
    assert!(nobody.contains("backstay login"), "{nobody}");
    assert!(through.refused(4, "olga", &["restore", "web", "--to", "x.img"]).contains("roles do not allow"));
    assert!(through.refused(4, "rita", &["suspend", "web", "--reason", "no"]).contains("roles do not allow"));
    assert!(through.refused(4, "aud", &["machines"]).contains("roles do not allow"));
    assert!(through.refused(1, "rita", &["points", "other"]).contains("other"));
    assert!(through.refused(1, "rita", &["files", "ls", "web", "/nothing"]).contains("no such file"));
    assert!(through.refused(1, "rita", &["show", "web", "--at", "1999-01-01T00:00:00Z"]).contains("not later"));
    assert!(through.refused(2, "rita", &["show", "web:a:b:c"]).contains("MACHINE"));
    assert!(through.refused(1, "rita", &["show", "web:sdz"]).contains("web:web"));
    // What is not done through a server.
    assert!(through.refused(2, "rita", &["protect", text(&through.image), "--once"]).contains("--store"));
    assert!(through.refused(2, "rita", &["key", "list"]).contains("--store"));
    let both = ["machines", "--server", &url, "--store", "x"];
    assert!(through.refused(2, "rita", &both).contains("together"));
    let mut both = through.command("rita", &["machines"]);
    assert!(sentence(2, &said(both.env("BACKSTAY_STORE", "x"))).contains("both set"));
    assert!(world.refused(2, &["jobs"]).contains("--server"));
    // Wrong servers, authorities, tokens and passwords.
    assert!(through.refused(2, "rita", &["machines", "--server", "http://localhost"]).contains("https://HOST:PORT"));
    let wrong = "00".repeat(32);
    assert!(through.refused(1, "rita", &["machines", "--authority", &wrong]).contains("not the server"));
    assert!(through.refused(2, "rita", &["machines", "--authority", "00"]).contains("64 hex digits"));
    let mut away = through.command("rita", &["machines", "--authority", &wrong, "--token-file", "token"]);
    fs::write(world.path("token"), "bst_made_up\n").unwrap();
    assert!(sentence(1, &said(away.env("BACKSTAY_SERVER", "https://127.0.0.1:1"))).contains("cannot be reached"));
    assert!(through.refused(4, "rita", &["machines", "--token-file", "token"]).contains("does not take the token"));
    assert!(through.refused(4, "nobody", &["machines", "--token-file", "token"]).contains("not known yet"));
    assert!(through.refused(1, "rita", &["machines", "--token-file", "missing"]).contains("missing"));
    let first: Vec<String> = through.login("rita").into_iter().filter(|word| *word != through.authority()).collect();
    let first: Vec<String> = first.into_iter().filter(|word| word != "--authority").collect();
    let told = through.refused(4, "stranger", &first);
    assert!(told.contains(&through.authority()) && told.contains("compare"), "{told}");
    fs::write(world.path("password"), "something else").unwrap();
    assert!(through.refused(4, "rita", &through.login("rita")).contains("wrong"));
    fs::write(world.path("password"), PASSWORD).unwrap();
    // What is kept is for its user alone, and ends with the login.
    let kept = fs::read_dir(world.path("rita/backstay/servers")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = fs::read_to_string(&kept).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(through.refused(4, "rita", &["machines"]).contains("others may read"));
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(through.ok("rita", &["logout", &url]).contains("logged out"));
    assert!(through.refused(4, "rita", &["machines"]).contains("backstay login"));
    fs::write(&kept, copy).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(through.refused(4, "rita", &["machines"]).contains("does not take the token"), "tokens end with the login");
}
