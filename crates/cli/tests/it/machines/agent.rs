//! A program in the place of a guest agent.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

/// How it does what it is asked.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner {
    /// How long it takes to hold the guest still, and then to say so.
    pub(super) to_freeze: Duration,
    pub(super) to_answer: Duration,
    /// Somebody else lets the guest go in between.
    pub(super) lets_go_early: bool,
}

/// Plays a guest agent: says what it was asked, in order.
pub(super) struct Agent {
    pub(super) socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    pub(super) fn new(world: &World, manner: Manner) -> Agent {
        let socket = world.path("agent");
        drop(fs::remove_file(&socket));
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &heard, manner);
            }
        });
        Agent { socket, asked }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.asked().last().is_some_and(|last| last.contains("freeze-freeze"))
    }
}

fn serve(stream: &UnixStream, heard: &Mutex<Vec<String>>, manner: Manner) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut out = stream;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let said: Value = serde_json::from_str(&line).unwrap();
        let command = said["execute"].as_str().unwrap().to_owned();
        let answer = match command.as_str() {
            "guest-sync" => said["arguments"]["id"].clone(),
            "guest-fsfreeze-thaw" if manner.lets_go_early => 0.into(),
            _ => 3.into(),
        };
        if command == "guest-fsfreeze-freeze" {
            std::thread::sleep(manner.to_freeze);
        }
        let freezes = command == "guest-fsfreeze-freeze";
        heard.lock().unwrap().push(command);
        if freezes {
            std::thread::sleep(manner.to_answer);
        }
        drop(writeln!(out, "{}", json!({ "return": answer })));
    }
}
