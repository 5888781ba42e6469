//! Starting a server and ending it: the one place where everything is put together.
//!
//! Never knows: the command line.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use backstay_audit::Event;
use backstay_env::random::Random as _;
use backstay_env::real::folder::Folder;
use backstay_env::real::link::SERVER;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::time::Clock;
use backstay_format::keys::Argon2Cost;
use backstay_format::names::STORE_HEADER;
use backstay_format::units::Timestamp;
use backstay_seal::passphrase;
use backstay_vault::{Opened, Seams, Vault, VaultError};
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::afterlife::claim;
use crate::afterlife::keep::{self, Keeper};
use crate::agents::Agents;
use crate::ages::Ages;
use crate::at_work::Jobs;
use crate::authority::Authority;
use crate::catalogue::Catalogue;
use crate::jobs;
use crate::live::Live;
use crate::notice::Bell;
use crate::people::oidc;
use crate::people::passkey::Parties;
use crate::people::password::Press;
use crate::people::pending::Pending;
use crate::place::{self, Place};
use crate::record::Record;
use crate::settings::kept::Kept;
use crate::{Server, ServerError, api, port};

/// How long those who are there may take to go when the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// The vault of a server to which no other was named.
const USUAL_VAULT: &str = "main";

/// How a server is to be.
pub struct Settings {
    /// Its data folder.
    pub data: PathBuf,
    /// Address and port.
    pub listen: String,
    /// The name that people and machines reach it by.
    pub name: String,
    /// Other names that it is reached by.
    pub other_names: Vec<String>,
    /// The vault that machines' points go into.
    pub vault: String,
    /// Where the store is, if not in the data folder.
    pub store: Option<StorePlace>,
    /// The folder that disks may be restored to, on this machine; none: nowhere.
    pub restores: Option<PathBuf>,
    /// All of these as whoever starts the server would write them down: kept for whoever brings it back.
    pub words: String,
    /// When jobs of the calendar may begin; none: at all hours.
    pub job_hours: Option<JobHours>,
    /// What guessing a password costs.
    pub cost: Argon2Cost,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Hours at which jobs of the calendar may begin.
pub struct JobHours {
    /// As they were written: the log knows them by this.
    pub words: String,
    /// Whether a moment is in them.
    pub hold: Arc<dyn Fn(Timestamp) -> bool + Send + Sync>,
}

/// A store that is not in the data folder.
pub struct StorePlace {
    /// The way to it.
    pub seams: Seams,
    /// The folder that it is, if it is one.
    pub folder: Option<PathBuf>,
    /// What opens it, if others made it.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
}

impl Settings {
    /// The usual ones.
    pub fn new(data: &Path, listen: &str, name: &str) -> Settings {
        let (listen, name) = (listen.to_owned(), name.to_owned());
        let (data, vault) = (data.to_owned(), USUAL_VAULT.to_owned());
        Settings {
            data,
            listen,
            name,
            other_names: Vec::new(),
            vault,
            store: None,
            restores: None,
            words: String::new(),
            job_hours: None,
            cost: passphrase::COST,
            clock: Arc::new(SystemClock),
        }
    }

    /// For tests: on loopback, in a folder, with passwords that are cheap to guess.
    pub fn for_tests(data: &Path) -> Settings {
        let cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };
        let restores = Some(data.join("restores"));
        Settings { cost, restores, ..Settings::new(data, "127.0.0.1:0", "localhost") }
    }
}

/// A server that runs. Ends when dropped.
pub struct Running {
    server: Arc<Server>,
    address: SocketAddr,
    code: Option<String>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
    _place: Place,
}

impl Running {
    /// Starts a server: on a fresh machine with everything new, else with what is there.
    ///
    /// # Errors
    /// [`ServerError`]; then nothing runs, and starting again goes on from what there is.
    pub fn start(settings: Settings) -> Result<Running, ServerError> {
        let place = Place::take(&settings.data)?;
        let listen_failed = |source| ServerError::Port { address: settings.listen.clone(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(listen_failed)?;
        // Before anything is made: a port that is taken is the commonest mistake.
        let listener = runtime.block_on(TcpListener::bind(&settings.listen)).map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let server = Arc::new(runtime.block_on(insides(&place, &settings))?);
        let code = runtime.block_on(api::setup::new_code(&server))?;
        let (stop, stopped) = watch::channel(false);
        let router = api::router(server.clone());
        let names = names(&settings);
        // Made once here, so that a name that cannot be is told at once.
        server.authority.server(&names, server.now())?;
        runtime.spawn(port::serve(listener, names, server.clone(), router, stopped));
        runtime.spawn(jobs::calendar(server.clone(), settings.job_hours));
        runtime.spawn(crate::watch::watch(server.clone()));
        runtime.spawn(crate::notice::deliver(server.clone()));
        runtime.spawn(keep::work(server.clone()));
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the server runs");
        Ok(Running { server, address, code, stop, runtime: Some(runtime), _place: place })
    }

    /// A server for tests: on loopback, in a folder, with passwords that are cheap to guess.
    ///
    /// # Panics
    /// When it does not start.
    pub fn for_tests(data: &Path) -> Running {
        Running::start(Settings::for_tests(data)).expect("a server starts in a fresh folder")
    }

    /// Its insides.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Runs something that waits, for tests.
    #[cfg(test)]
    pub(crate) fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it runs until it is dropped").block_on(what)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it answers: the catalogue, on the threads that all requests are answered on.
    pub fn is_alive(&self) -> bool {
        let Some(runtime) = &self.runtime else { return false };
        let server = self.server.clone();
        let asked = runtime.spawn(async move { server.catalogue.ping().await.is_ok() });
        runtime.block_on(async { tokio::time::timeout(GRACE, asked).await.is_ok_and(|said| said.unwrap_or(false)) })
    }

    /// The public key of its audit log, to be written down elsewhere.
    pub fn log_key(&self) -> String {
        self.server.record.key()
    }

    /// Another server has taken the vault over: this one must end.
    pub fn is_superseded(&self) -> bool {
        self.server.superseded.get().is_some()
    }

    /// The code that makes the first administrator, once; `None`: there is one.
    pub fn setup_code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        tracing::info!("the server ends");
        let _ = self.stop.send(true);
        self.server.agents.stop(GRACE);
        let Some(runtime) = self.runtime.take() else { return };
        runtime.block_on(async {
            let _ = keep::keep(&self.server, true).await; // it was told before if it fails
            let _ = self.server.record.append(Event::stopped()).await; // a log that fails now has failed before
            self.server.record.end();
            self.server.catalogue.close().await;
        });
        runtime.shutdown_timeout(GRACE);
    }
}

/// What the certificate is of: the name given, and what this machine calls itself.
fn names(settings: &Settings) -> Vec<String> {
    let given = [&settings.name].into_iter().chain(&settings.other_names).map(String::as_str);
    let mut names: Vec<String> = Vec::new();
    // Machines know it by the last of these, whatever it is called.
    for name in given.chain(["localhost", "127.0.0.1", "::1", SERVER]) {
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    names
}

async fn insides(place: &Place, settings: &Settings) -> Result<Server, ServerError> {
    if let Some(folder) = &settings.restores {
        place::folder(folder)?;
    }
    let clock = settings.clock.clone();
    let random = Arc::new(SystemRandom);
    let authority = Authority::open(place, clock.now())?;
    let opened = open_vault(place, settings)?;
    let vault = Arc::new(opened.vault);
    let mine = claim::take(&vault, claim::own(place, &SystemRandom)?, (&settings.name, clock.now()))?;
    let record = {
        let vault = vault.clone();
        // A store that cannot be asked cannot be written either.
        Record::open(place, clock.clone(), &vault.clone(), move || mine.holds(&vault).unwrap_or(false))?
    };
    let catalogue = Catalogue::open(&place.path("catalogue.sqlite")).await?;
    catalogue.bury_jobs(clock.now()).await?;
    let called = [&settings.name].into_iter().chain(&settings.other_names).map(String::as_str);
    // Before there was more than one, passkeys were of the first name.
    catalogue.name_passkeys(&settings.name.to_ascii_lowercase()).await?;
    let ages = Ages::new(catalogue.ages().await?, clock.now());
    let kept = Kept::open((place, &catalogue), started(settings), || secret_text(&SystemRandom)).await?;
    // Files and command lines are changed where the log does not see it; that they were is seen here.
    if let Some(before) = record.config()?.filter(|before| *before != kept.hash()) {
        record
            .append(Event::done("settings.started", true).config(before, kept.hash()).detail(&started(settings)))
            .await?;
    }
    record.append(Event::started(kept.hash())).await?;
    Ok(Server {
        vault,
        agents: Agents::new(&clock),
        clock,
        random,
        live: Live::default(),
        authority,
        catalogue,
        record,
        press: Press::new(settings.cost),
        throttle: Mutex::default(),
        setup: tokio::sync::Mutex::new(None),
        ages,
        jobs: Jobs::default(),
        job_seat: Arc::new(Semaphore::new(1)),
        restore_seats: Arc::new(Semaphore::new(4)),
        downloads: Arc::new(Semaphore::new(32)),
        folder: match &settings.store {
            Some(store) => store.folder.clone(),
            None => Some(place.path("store")),
        },
        restores: settings.restores.clone(),
        settings: kept,
        settling: tokio::sync::Mutex::default(),
        passkeys: Parties::new(called),
        ceremonies: Pending::default(),
        issuers: oidc::Known::default(),
        signing_on: Pending::default(),
        bell: Bell::default(),
        keeper: Keeper::new(&settings.data, &settings.words, mine),
        superseded: OnceLock::new(),
        name: settings.name.clone(),
        other_names: settings.other_names.clone(),
        damage: opened.damage.map(|damage| damage.to_string()),
    })
}

/// How it was started. What is as usual is not in it: so it reads as it did before there was such a thing.
fn started(settings: &Settings) -> String {
    let restores = settings.restores.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default();
    let names: String = settings.other_names.iter().map(|name| format!("name {name}\n")).collect();
    let vault = Some(&settings.vault).filter(|vault| *vault != USUAL_VAULT).map(|vault| format!("vault {vault}\n"));
    let hours = settings.job_hours.as_ref().map(|hours| format!("job_hours {}\n", hours.words));
    let more = [vault, hours].into_iter().flatten().collect::<String>();
    format!("listen {}\nname {}\n{names}restores {restores}\n{more}", settings.listen, settings.name)
}

/// Opens the vault, making the store if there is none. The passphrase is kept before anything is made with it.
fn open_vault(place: &Place, settings: &Settings) -> Result<Opened, ServerError> {
    let (seams, given) = match &settings.store {
        Some(store) => (store.seams.clone(), store.passphrase.as_deref()),
        None => (own_store(place)?, None),
    };
    let passphrase = match given {
        Some(given) => Zeroizing::new(given.clone()),
        None => Zeroizing::new(place.keep("keys/store", || secret_text(&SystemRandom))?.trim().as_bytes().to_vec()),
    };
    match Vault::create_with(&seams, &settings.vault, &passphrase, settings.cost) {
        Ok(_) | Err(VaultError::StoreExists) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Vault::open_before_damage(seams, &settings.vault, &passphrase)?)
}

fn own_store(place: &Place) -> Result<Seams, ServerError> {
    let path = place.path("store");
    // A store that was there and is not, such as a disk that is not mounted, is not made anew over the place.
    let known = place.read("keys/store")?.is_some();
    if known
        && path.is_dir()
        && !path.join(STORE_HEADER).exists()
        && std::fs::read_dir(&path).is_ok_and(|mut d| d.next().is_some())
    {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is something else than the store");
        return Err(ServerError::Place { place: path, source });
    }
    let home = Arc::new(Folder::create(&path)?);
    Ok(Seams { index_home: home.clone(), home, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) })
}

pub(crate) fn secret_text(random: &SystemRandom) -> String {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret);
    HEXLOWER.encode(&*secret)
}

/// Waits for something where no server runs.
pub(crate) fn once<T>(what: impl Future<Output = Result<T, ServerError>>) -> Result<T, ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(sqlx::Error::Io)?;
    runtime.block_on(what)
}
