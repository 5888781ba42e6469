//! Alerts: what needs a person. They begin, they end, and each is told once.
//!
//! Never knows: what is watched for, or how people are told.

use crate::live::News;
use crate::{Server, notice};

impl Server {
    /// Something needs a person. Nothing happens if that is known.
    pub(crate) async fn alert(&self, kind: &str, subject: &str, told: &str) {
        // An alert that cannot be kept is shown all the same.
        let about = (kind, subject, told);
        let new = self.catalogue.begin_alert(about, &self.told(kind, subject), self.now()).await.unwrap_or(true);
        if new {
            tracing::warn!(kind, subject, text = told, "an alert began");
            self.live.tell(News::Alert { kind: kind.to_owned(), subject: subject.to_owned(), began: true });
            self.bell.ring();
        }
    }

    /// Something does not need a person any more. Nothing happens if it did not.
    pub(crate) async fn all_clear(&self, kind: &str, subject: &str) {
        let channels = self.told(kind, subject);
        if self.catalogue.end_alert((kind, subject), &channels, self.now()).await.unwrap_or(false) {
            tracing::info!(kind, subject, "an alert ended");
            self.live.tell(News::Alert { kind: kind.to_owned(), subject: subject.to_owned(), began: false });
            self.bell.ring();
        }
    }

    /// Nothing of a kind needs a person any more.
    pub(crate) async fn all_clear_of(&self, kind: &str) {
        for alert in self.catalogue.alerts(500).await.unwrap_or_default() {
            if alert.kind == kind && alert.ended.is_none() {
                self.all_clear(kind, &alert.subject).await;
            }
        }
    }

    /// Something of a point turned out to be damaged while it was read.
    pub(crate) async fn found_damaged(&self, machine: &str, point: u64, what: &str) {
        self.alert("damaged", machine, &format!("point {point}: {what}")).await;
    }

    /// The channels that are told of it: none is told that it is silent.
    fn told(&self, kind: &str, subject: &str) -> Vec<String> {
        let mut channels = notice::names(&self.settings.now());
        channels.retain(|name| kind != "delivery" || name != subject);
        channels
    }
}
