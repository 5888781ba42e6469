//! Where notices can go: the mail server, and each webhook.
//!
//! Never knows: what waits for it, or when it is due.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{Why, mail, webhook};
use crate::catalogue::outbox::Notice;
use crate::settings::kept::InForce;
use crate::settings::{Email, Webhook};

/// A place that notices go to, with the secret it takes.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    /// The mail server.
    Email(Email, Option<String>),
    /// A webhook.
    Webhook(Webhook, String),
}

/// What is told to a channel at once.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// What it is about, oldest first; nothing: it is a test.
    pub(crate) notices: Vec<Notice>,
    /// So many were left out before.
    pub(crate) lost: u64,
}

impl Letter {
    /// A test.
    pub(crate) fn test() -> Letter {
        Letter { notices: Vec::new(), lost: 0 }
    }
}

/// The channels that the settings name.
pub(crate) fn channels(settings: &InForce) -> Vec<Channel> {
    let (alerts, secrets) = (&settings.typed.alerts, &settings.secrets);
    let email =
        alerts.email.iter().map(|email| Channel::Email(email.clone(), email.secret(secrets).map(str::to_owned)));
    let hooks = alerts.webhooks.iter();
    let hooks = hooks.map(|hook| Channel::Webhook(hook.clone(), hook.secret(secrets).unwrap_or_default().to_owned()));
    email.chain(hooks).collect()
}

/// Their names.
pub(crate) fn names(settings: &InForce) -> Vec<String> {
    channels(settings).iter().map(Channel::name).collect()
}

impl Channel {
    /// By what it is known in the outbox. Secrets, which a URL may hold, are not in it.
    pub(crate) fn name(&self) -> String {
        match self {
            Channel::Email(..) => "email".to_owned(),
            Channel::Webhook(hook, _) => {
                let short = &HEXLOWER.encode(&Sha256::digest(&hook.url))[..16];
                format!("webhook {} {short}", self.host())
            }
        }
    }

    /// The host that it leads to.
    pub(crate) fn host(&self) -> String {
        match self {
            Channel::Email(email, _) => email.host.clone(),
            Channel::Webhook(hook, _) => {
                let url = reqwest::Url::parse(&hook.url).ok();
                url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
            }
        }
    }

    /// Tells. On `Ok` the other end has taken it.
    ///
    /// # Errors
    /// Why not; it may have been taken all the same.
    pub(crate) async fn tell(&self, server: &str, letter: &Letter) -> Result<(), Why> {
        match self {
            Channel::Email(email, password) => mail::send(email, password.as_deref(), server, letter).await,
            Channel::Webhook(hook, secret) => webhook::post(hook, secret, server, letter).await,
        }
    }
}
