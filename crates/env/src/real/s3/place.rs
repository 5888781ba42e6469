//! Where a bucket is: what a URL and the environment say.
//!
//! Never knows: how to get there. Secrets are not part of it: a URL ends up in histories and logs.

use std::time::Duration;

/// Where a home in a bucket is.
///
/// `s3://bucket[/prefix][?name=value&...]` with the names `endpoint` (`https://host[:port]`, for services other than
/// Amazon's), `region`, `style` (`path` or `virtual`: whether the bucket is in the path or in the host's name),
/// `allow_http` (`yes`: talk without encryption to hosts other than this one) and `patience` (seconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with: empty, or ends with `/`.
    pub prefix: String,
    /// The service; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// The region, `us-east-1` if nobody says another.
    pub region: String,
    /// The bucket is in the host's name.
    pub virtual_hosted: bool,
    /// Talking without encryption is allowed: always to this machine itself.
    pub allow_http: bool,
    /// For how long what fails is tried again: 3 minutes if nobody says otherwise.
    pub patience: Duration,
    /// The URL says which region.
    pub named_region: bool,
}

/// Why a URL names no home.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} is not a home of objects: {why}")]
pub struct PlaceError {
    url: String,
    why: String,
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`PlaceError`] says in one sentence what is wrong.
    pub fn parse(url: &str) -> Result<Place, PlaceError> {
        Place::read(url).map_err(|why| PlaceError { url: without_secrets(url), why })
    }

    fn read(url: &str) -> Result<Place, String> {
        let rest = url.strip_prefix("s3://").ok_or("it does not begin with s3://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
            return Err("a bucket's name has 3 to 63 letters, digits, dots or dashes".to_string());
        }
        let prefix = prefix.trim_matches('/');
        let segment = |s: &str| !s.is_empty() && !s.starts_with('.') && s.bytes().all(plain);
        if !prefix.is_empty() && !prefix.split('/').all(segment) {
            return Err("the path after the bucket may have letters, digits, dots, dashes and /".to_string());
        }
        let mut place = Place {
            bucket: bucket.to_string(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: None,
            region: "us-east-1".to_string(),
            virtual_hosted: false,
            allow_http: false,
            patience: Duration::from_secs(180),
            named_region: false,
        };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("{option} has no value"))?;
            place.set(name, value)?;
        }
        place.check()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("endpoint", _) => self.endpoint = Some(value.trim_end_matches('/').to_string()),
            ("region", _) => (self.region, self.named_region) = (value.to_string(), true),
            ("style", "path") => self.virtual_hosted = false,
            ("style", "virtual") => self.virtual_hosted = true,
            ("allow_http", "yes") => self.allow_http = true,
            ("patience", _) => {
                let seconds = value.parse().map_err(|_| "patience is a number of seconds")?;
                self.patience = Duration::from_secs(seconds);
            }
            ("style", _) => return Err("style is path or virtual".to_string()),
            ("allow_http", _) => return Err("allow_http can only be yes".to_string()),
            _ => {
                return Err(format!("{name} is none of endpoint, region, style, allow_http and patience"));
            }
        }
        Ok(())
    }

    fn check(mut self) -> Result<Place, String> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(self);
        };
        match endpoint.split_once("://") {
            Some(("https", host)) if !host.is_empty() => Ok(self),
            Some(("http", host)) if is_loopback(host) => {
                self.allow_http = true;
                Ok(self)
            }
            Some(("http", host)) if !host.is_empty() => match self.allow_http {
                true => Ok(self),
                false => Err(format!("{endpoint} is not encrypted; use https, or add allow_http=yes")),
            },
            _ => Err(format!("the endpoint {endpoint} does not begin with https://")),
        }
    }

    /// Lets `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, `AWS_REGION` and `AWS_DEFAULT_REGION` say what the URL did not.
    /// An endpoint from there may be without encryption.
    pub fn with_environment(self) -> Place {
        self.with_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Place {
        if self.endpoint.is_none() {
            self.endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
            self.allow_http |= self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        }
        if !self.named_region {
            let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
            self.region = region.unwrap_or(self.region);
        }
        self
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.split('/').next().unwrap_or(host);
    let name = match name.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => name.split(':').next().unwrap_or(name),
    };
    let is_local = |address: std::net::IpAddr| address.is_loopback();
    name == "localhost" || name.parse().is_ok_and(is_local)
}

/// Whoever put a secret into a URL shall not find it in the log too.
fn without_secrets(url: &str) -> String {
    url.split('?').next().unwrap_or(url).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood() {
        let place = Place::parse("s3://my-bucket/some/prefix/?endpoint=http://127.0.0.1:9000/&region=eu-1").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("my-bucket", "some/prefix/"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert!(place.region == "eu-1" && place.allow_http && !place.virtual_hosted);
        let place = Place::parse("s3://my-bucket?style=virtual&patience=5").unwrap();
        assert!(place.prefix.is_empty() && place.virtual_hosted && !place.allow_http && place.endpoint.is_none());
        assert_eq!(place.patience, Duration::from_secs(5));
    }

    #[test]
    fn http_is_for_this_machine_only_unless_asked_for() {
        for host in ["localhost", "localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:9000", "[::1]"] {
            Place::parse(&format!("s3://bucket?endpoint=http://{host}")).unwrap();
        }
        for host in ["example.com", "10.0.0.1:80", "localhost.example.com", "[::2]", "127.0.0.1.example.com"] {
            Place::parse(&format!("s3://bucket?endpoint=http://{host}")).unwrap_err();
            Place::parse(&format!("s3://bucket?endpoint=http://{host}&allow_http=yes")).unwrap();
            Place::parse(&format!("s3://bucket?endpoint=https://{host}")).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        let said = |url: &str| Place::parse(url).unwrap_err().to_string();
        assert_eq!(said("gs://bucket"), "gs://bucket is not a home of objects: it does not begin with s3://");
        assert!(said("s3://ab/x").contains("3 to 63"));
        assert!(said("s3://bucket/a//b").contains("path after the bucket"));
        assert!(said("s3://bucket/a/../b").contains("path after the bucket"));
        assert!(said("s3://bucket?colour=red").contains("colour is none of"));
        assert!(said("s3://bucket?style=odd").contains("path or virtual"));
        assert!(said("s3://bucket?endpoint=host").contains("https://"));
        assert!(!said("s3://bucket?secret_access_key=abc").contains("abc"));
    }

    #[test]
    fn the_environment_says_only_what_the_url_does_not() {
        let variable = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("http://10.0.0.1:9000".to_string()),
            "AWS_REGION" => Some("eu-2".to_string()),
            _ => None,
        };
        let place = Place::parse("s3://bucket").unwrap().with_variables(variable);
        assert_eq!(place.endpoint.as_deref(), Some("http://10.0.0.1:9000"));
        assert!(place.allow_http && place.region == "eu-2");
        let place = Place::parse("s3://bucket?endpoint=https://host&region=eu-1").unwrap().with_variables(variable);
        assert_eq!(place.endpoint.as_deref(), Some("https://host"));
        assert!(!place.allow_http && place.region == "eu-1");
    }
}
