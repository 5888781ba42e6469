//! What an administrator settles while the server runs: who is told of alerts, what is promised, who else vouches for people.
//!
//! Kept in the catalogue; what is secret of it is sealed there with a key that lies outside.
//!
//! Never knows: how mail is sent, or how people log in.

pub(crate) mod check;
pub(crate) mod kept;
pub(crate) mod secrets;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::GrantText;
use secrets::Secrets;

/// Settings as they are typed, kept and told. Secrets in them are taken, and never told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Settings)]
pub(crate) struct Typed {
    pub(crate) alerts: Alerts,
    /// The longest time without a point, for machines of which nothing else was promised; nothing: what each machine says.
    #[schema(minimum = 1, maximum = 31622400)]
    pub(crate) promise_seconds: Option<u64>,
    /// Who else vouches for people, by OpenID Connect.
    pub(crate) oidc: Option<Oidc>,
}

/// Who is told of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerts {
    pub(crate) email: Option<Email>,
    /// At most ten.
    pub(crate) webhooks: Vec<Webhook>,
}

/// How mail gets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Security {
    /// TLS from the beginning, usually on port 465.
    Tls,
    /// TLS after a word in clear, usually on port 587. Without TLS nothing is sent.
    Starttls,
    /// No TLS: to this very host alone.
    Plain,
}

/// A mail server, and who gets mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Email {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) from: String,
    /// One to twenty addresses.
    pub(crate) to: Vec<String>,
    /// Who logs in at the mail server; nothing: nobody does.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// Left out: the one before, if host, port and user are the same; empty: none.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    #[schema(read_only)]
    pub(crate) has_password: bool,
    /// Certificates of authorities that are trusted besides the system's, as PEM.
    #[serde(default)]
    pub(crate) ca_pem: Option<String>,
}

/// A place that is sent each alert as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Begins with `https://`.
    pub(crate) url: String,
    /// What requests are signed with, at least 16 bytes. Left out: the one before, if the URL is the same.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    pub(crate) secret: Option<String>,
    #[serde(default)]
    #[schema(read_only)]
    pub(crate) has_secret: bool,
    /// Certificates of authorities that are trusted besides the system's, as PEM.
    #[serde(default)]
    pub(crate) ca_pem: Option<String>,
    /// Addresses that clouds answer with their machines' credentials are refused unless this is said.
    #[serde(default)]
    pub(crate) allow_link_local: bool,
}

/// An issuer that vouches for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oidc {
    /// Begins with `https://`.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// Left out: the one before, if issuer and client are the same; empty: none, as for public clients.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    pub(crate) client_secret: Option<String>,
    #[serde(default)]
    #[schema(read_only)]
    pub(crate) has_client_secret: bool,
    /// What people read on the button.
    #[serde(default)]
    pub(crate) label: String,
    /// What is asked for besides `openid`, such as `groups`.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The claim that lists a person's groups.
    #[serde(default = "groups_claim")]
    pub(crate) groups_claim: String,
    /// What groups give. Who is in none of them, and was not made known by an administrator, is not let in.
    #[serde(default)]
    pub(crate) groups: Vec<Group>,
    /// Certificates of authorities that are trusted besides the system's, as PEM.
    #[serde(default)]
    pub(crate) ca_pem: Option<String>,
}

/// What a group gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) grants: Vec<GrantText>,
}

fn groups_claim() -> String {
    "groups".to_owned()
}

impl Email {
    /// What its password is kept under: it goes to no other place than it was given for.
    fn key(&self) -> String {
        format!("email {}:{} {}", self.host, self.port, self.user.as_deref().unwrap_or_default())
    }

    pub(crate) fn secret<'s>(&self, secrets: &'s Secrets) -> Option<&'s str> {
        secrets.get(&self.key())
    }
}

impl Webhook {
    fn key(&self) -> String {
        format!("webhook {}", self.url)
    }

    pub(crate) fn secret<'s>(&self, secrets: &'s Secrets) -> Option<&'s str> {
        secrets.get(&self.key())
    }
}

impl Oidc {
    fn key(&self) -> String {
        format!("oidc {} {}", self.issuer, self.client_id)
    }

    pub(crate) fn secret<'s>(&self, secrets: &'s Secrets) -> Option<&'s str> {
        secrets.get(&self.key())
    }
}

impl Typed {
    /// Takes the secrets out. What was not said is as before, for the same place; the others are forgotten.
    pub(crate) fn part(mut self, before: &Secrets) -> (Typed, Secrets) {
        let mut secrets = Secrets::default();
        if let Some(email) = &mut self.alerts.email {
            email.has_password = secrets.take(email.key(), email.password.take(), before);
        }
        for webhook in &mut self.alerts.webhooks {
            webhook.has_secret = secrets.take(webhook.key(), webhook.secret.take(), before);
        }
        if let Some(oidc) = &mut self.oidc {
            oidc.has_client_secret = secrets.take(oidc.key(), oidc.client_secret.take(), before);
        }
        (self, secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(host: &str, password: Option<&str>) -> Typed {
        let text = serde_json::json!({ "alerts": { "email": {
            "host": host, "port": 465, "security": "tls", "from": "a@b.c", "to": ["d@e.f"], "user": "u", "password": password } } });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_secret_is_kept_for_its_place_and_goes_to_no_other() {
        let (typed, first) = email("mail", Some("s3cret")).part(&Secrets::default());
        let kept = serde_json::to_string(&typed).unwrap();
        assert!(!kept.contains("s3cret") && typed.alerts.email.as_ref().unwrap().has_password);
        let (again, same) = serde_json::from_str::<Typed>(&kept).unwrap().part(&first);
        assert_eq!((again.alerts.email.as_ref().unwrap().secret(&same), &again), (Some("s3cret"), &typed));
        let (other, none) = email("elsewhere", None).part(&first);
        assert_eq!(none, Secrets::default());
        assert!(!other.alerts.email.unwrap().has_password);
        let (_, none) = email("mail", Some("")).part(&first);
        assert_eq!(none, Secrets::default());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(serde_json::from_str::<Typed>(r#"{"alert":{}}"#).is_err());
        assert_eq!(serde_json::from_str::<Typed>("{}").unwrap(), Typed::default());
    }
}
