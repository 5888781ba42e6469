//! Settings files of a server and of an agent: what they mean, what counts more, and what is said of mistakes.

use std::fs;

use serde_json::Value;

use crate::tools::*;
use crate::world::*;

/// A command with no store in the environment, which counts more than a file.
fn plain(world: &World, args: &[&str]) -> std::process::Command {
    let mut command = world.command(args);
    command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
    command
}

#[test]
fn what_a_server_reads() {
    let world = World::new();
    let (data, store) = (world.path("data"), world.path("elsewhere"));
    fs::create_dir(&data).unwrap();
    let file = data.join("server.toml");
    let check = |more: &[&str]| {
        let all = [&["server", "--data", text(&data), "--check-config", "--json"][..], more].concat();
        let said = said(&mut plain(&world, &all));
        assert_eq!(said.status, Some(0), "{said:?}");
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let meant = check(&[]);
    assert_eq!((&meant["listen"], &meant["vault"]), (&"0.0.0.0:7443".into(), &"main".into()));
    let written = format!(
        "# A server.\nlisten = '127.0.0.1:0'\nnames = ['localhost', 'backup.example.org']\nstore = '{}'\nvault = 'other'\njob_hours = \
         '22:00-06:00'\n",
        store.display()
    );
    fs::write(&file, &written).unwrap();
    let meant = check(&[]);
    assert_eq!(meant["names"], serde_json::json!(["localhost", "backup.example.org"]));
    assert_eq!((&meant["vault"], &meant["job_hours"]), (&"other".into(), &"22:00-06:00".into()));
    let meant = check(&["--listen", "[::1]:1", "--vault", "main", "--name", "x"]);
    let expected = serde_json::json!(["[::1]:1", "main", ["x"], text(&store)]);
    assert_eq!(serde_json::json!([meant["listen"], meant["vault"], meant["names"], meant["store"]]), expected);
    assert!(!store.exists() && !data.join("keys").exists(), "checking changes nothing");

    // What it means is what happens.
    let mut server = world.start_as(plain(&world, &["server", "--data", text(&data), "--json"]));
    server.wait_for("\"url\"");
    server.wait_for("\n}");
    let told = server.json();
    assert!(store.join("backstay.store").exists() && store.join("vault/other").exists());
    let url = told["url"].as_str().unwrap();
    let port = url.rsplit(':').next().unwrap();
    let other = format!("backup.example.org:{port}:127.0.0.1");
    let authority = data.join("ca/certificate.pem");
    let health = format!("https://backup.example.org:{port}/api/v1/health");
    assert!(run("curl", ["-sS", "--resolve", &other, "--cacert", text(&authority), &health]).contains("ok"));
    assert_eq!(server.interrupt(), Some(0), "{}", server.log());

    let wrong = |from: &str, to: &str, expected: &str| {
        fs::write(&file, written.replace(from, to)).unwrap();
        let sentence = world.refused_by(2, &mut plain(&world, &["server", "--data", text(&data)]));
        assert!(sentence.contains(&format!("{}, line {expected}", file.display())), "{sentence}");
    };
    wrong("listen", "lisen", "2: lisen: there is no such key, but listen, names");
    wrong("127.0.0.1:0", "127.0.0.1", "2: listen: \"127.0.0.1\" is not HOST:PORT");
    wrong("'other'", "'Other'", "5: vault: a vault's name");
    wrong("22:00-06:00", "all night", "6: job_hours: write hours");
    wrong("store = '/", "store = '", "4: store: ");
    wrong("'localhost',", "'local host',", "3: names: ");
    wrong("job_hours = ", "job_hours : ", "6");
    let missing = world.path("none.toml");
    assert!(world.refused(1, &["server", "--config", text(&missing)]).contains("none.toml cannot be read"));
}

#[test]
fn what_an_agent_reads() {
    let world = World::new();
    let (file, image) = (world.path("agent.toml"), world.path("disk.img"));
    sparse(&image, 1 << 20);
    let wrong = |content: &str, more: &[&str], status, expected: &str| {
        fs::write(&file, content).unwrap();
        let all = [&["agent", "--config", text(&file)][..], more].concat();
        let sentence = world.refused_by(status, &mut plain(&world, &all));
        assert!(sentence.contains(expected), "{sentence}");
    };
    let named = |line: u32, rest: &str| format!("{}, line {line}: {rest}", file.display());
    wrong("disks = ['sda']", &[], 2, &named(1, "disks: \"sda\" does not begin at /"));
    wrong("every = '10 lightyears'", &[], 2, &named(1, "every: \"10 lightyears\" is not a length of time"));
    wrong("\nmax_rate = '5'", &[], 2, &named(2, "max_rate: write a rate"));
    wrong("max_rate_at = ['08:00-18:00=10MiB/s',\n'9MiB/s']", &[], 2, &named(1, "max_rate_at: write hours"));
    wrong("threads = 0", &[], 2, &named(1, "threads: at least 1"));
    wrong("exclude = ['/']", &[], 2, &named(1, "exclude: it names no file or folder"));
    wrong("include = ['/tmp']", &[], 2, &named(1, "include: there is no such key"));
    // What it says holds where nothing else is said.
    let dir = world.path("enrolment");
    let right = format!("dir = '{}'\ndisks = ['{}']\nevery = '1ms'\n", dir.display(), image.display());
    let about = format!("{} is missing", dir.join("server.json").display());
    wrong(&right, &[], 1, &about);
    let other = world.path("other");
    wrong(&right, &["--dir", text(&other)], 1, &format!("{} is missing", other.join("server.json").display()));
}
