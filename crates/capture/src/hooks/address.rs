//! Connection strings. What is secret in them is taken out, as the arguments of a program are for all to read.
//!
//! Never knows: whether anybody is at home.

/// A connection string that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection string is not understood: {0}")]
pub struct AddressError(pub &'static str);

/// What libpq understands: a URI, or `key=value` pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresAddress {
    /// The string without its password.
    pub(super) plain: String,
    pub(super) password: Option<String>,
    pub(super) user: Option<String>,
    /// Several, or none, or a folder with a socket.
    pub(super) host: Option<String>,
}

impl PostgresAddress {
    pub(super) fn parse(text: &str) -> Result<PostgresAddress, AddressError> {
        match text.split_once("://") {
            Some(("postgresql" | "postgres", rest)) => uri_of_postgres(rest),
            Some(_) if !text.contains('=') => Err(AddressError("it begins with neither postgresql:// nor key=value")),
            _ => pairs_of_postgres(text),
        }
    }
}

fn uri_of_postgres(rest: &str) -> Result<PostgresAddress, AddressError> {
    let uri = Uri::parse(rest)?;
    let mut plain = String::from("postgresql://");
    if let Some(user) = uri.user {
        plain.push_str(user);
        plain.push('@');
    }
    plain.push_str(uri.place);
    let (mut password, mut user, mut host) = (uri.password, uri.user, uri.host());
    let mut joint = '?';
    for (key, value) in &uri.query {
        match *key {
            "password" => password = Some(value),
            "user" => user = Some(value),
            "host" => host = Some(value),
            _ => {}
        }
        if *key != "password" {
            plain.push_str(&format!("{joint}{key}={value}"));
            joint = '&';
        }
    }
    let decoded = |text: Option<&str>| text.map(decoded).transpose();
    Ok(PostgresAddress { plain, password: decoded(password)?, user: decoded(user)?, host: decoded(host)? })
}

/// `key = value`, where the value may be in single quotes, and a backslash makes the next character plain.
fn pairs_of_postgres(text: &str) -> Result<PostgresAddress, AddressError> {
    let mut address = PostgresAddress { plain: String::new(), password: None, user: None, host: None };
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(AddressError("a key has no value"))?;
        let (value, after) = value(after.trim_start())?;
        match key.trim() {
            "password" => address.password = Some(value),
            key => {
                let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
                address.plain.push_str(&format!("{key}='{escaped}' "));
                match key {
                    "user" => address.user = Some(value),
                    "host" => address.host = Some(value),
                    _ => {}
                }
            }
        }
        rest = after.trim_start();
    }
    address.plain.truncate(address.plain.trim_end().len());
    Ok(address)
}

fn value(text: &str) -> Result<(String, &str), AddressError> {
    let quoted = text.starts_with('\'');
    let (mut value, mut characters) = (String::new(), text[usize::from(quoted)..].char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, plain)| plain)),
            '\'' if quoted => return Ok((value, &text[at + 2..])),
            blank if !quoted && blank.is_whitespace() => return Ok((value, &text[at..])),
            plain => value.push(plain),
        }
    }
    if quoted { Err(AddressError("a quote has no end")) } else { Ok((value, "")) }
}

/// `mariadb://user:password@host:port/?option=value`, all of it optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MariaAddress {
    /// Long options of the client program.
    pub(super) options: Vec<(String, String)>,
    pub(super) password: Option<String>,
}

impl MariaAddress {
    pub(super) fn parse(text: &str) -> Result<MariaAddress, AddressError> {
        let Some(("mariadb" | "mysql", rest)) = text.split_once("://") else {
            return Err(AddressError("it does not begin with mariadb://"));
        };
        let uri = Uri::parse(rest)?;
        let password = uri.password.map(decoded).transpose()?;
        let mut address = MariaAddress { options: Vec::new(), password };
        let mut option =
            |key: &str, value: &str| decoded(value).map(|value| address.options.push((key.to_owned(), value)));
        if let Some(user) = uri.user {
            option("user", user)?;
        }
        if let Some(host) = uri.host() {
            option("host", host.trim_start_matches('[').trim_end_matches(']'))?;
        }
        if let Some(port) = uri.port() {
            option("port", port)?;
        }
        for (key, value) in &uri.query {
            if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
                return Err(AddressError("an option has a name that no option of the client has"));
            }
            option(key, value)?;
        }
        Ok(address)
    }
}

/// What comes after `scheme://`, still encoded.
struct Uri<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    /// Hosts, ports and what follows, up to the query.
    place: &'a str,
    query: Vec<(&'a str, &'a str)>,
}

impl<'a> Uri<'a> {
    fn parse(rest: &'a str) -> Result<Uri<'a>, AddressError> {
        let (credentials, rest) = match rest.find(['@', '/']) {
            Some(at) if rest[at..].starts_with('@') => (Some(&rest[..at]), &rest[at + 1..]),
            _ => (None, rest),
        };
        let (user, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            Some((user, "")) => (Some(user), None),
            Some((user, password)) => (Some(user), Some(password)),
            None => (None, None),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').ok_or(AddressError("an option has no value")));
        Ok(Uri { user, password, place, query: pairs.collect::<Result<_, _>>()? })
    }

    fn authority(&self) -> &'a str {
        self.place.split('/').next().unwrap_or_default()
    }

    fn port(&self) -> Option<&'a str> {
        let (host, port) = self.authority().rsplit_once(':')?;
        // The colons of a bare IPv6 address are inside of brackets.
        (!host.contains('[') || host.ends_with(']')).then_some(port).filter(|port| !port.is_empty())
    }

    fn host(&self) -> Option<&'a str> {
        let all = self.authority();
        let host = self.port().map_or(all, |port| &all[..all.len() - port.len() - 1]);
        (!host.is_empty()).then_some(host)
    }
}

/// Undoes `%20`.
fn decoded(text: &str) -> Result<String, AddressError> {
    const WRONG: AddressError = AddressError("a % is not followed by two hexadecimal digits");
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or(WRONG)?;
        let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| AddressError("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> String {
        let found = PostgresAddress::parse(text).expect(text);
        let or = |part: Option<String>| part.unwrap_or_else(|| "-".into());
        format!("{} | {} {} {}", found.plain, or(found.user), or(found.password), or(found.host))
    }

    #[test]
    fn passwords_are_taken_out_of_what_libpq_understands() {
        for (text, expected) in [
            ("postgresql://", "postgresql:// | - - -"),
            ("postgres://me@/db", "postgresql://me@/db | me - -"),
            (
                "postgresql://me:p%40ss@h:5433/db?sslmode=require",
                "postgresql://me@h:5433/db?sslmode=require | me p@ss h",
            ),
            (
                "postgresql:///db?host=/run/pg&password=x%20y&user=u",
                "postgresql:///db?host=/run/pg&user=u | u x y /run/pg",
            ),
            ("postgresql://%2Frun%2Fpg/db", "postgresql://%2Frun%2Fpg/db | - - /run/pg"),
            ("postgresql://[::1]:5/db", "postgresql://[::1]:5/db | - - [::1]"),
            ("", " | - - -"),
            ("host=h  user = 'a b' password=s\\'x dbname=d", "host='h' user='a b' dbname='d' | a b s'x h"),
            ("password='it''s", ""),
        ] {
            if expected.is_empty() {
                assert!(PostgresAddress::parse(text).is_err(), "{text}");
            } else {
                assert_eq!(postgres(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn options_of_the_mariadb_client() {
        let parsed = |text: &str| -> Result<String, AddressError> {
            let found = MariaAddress::parse(text)?;
            let options: Vec<String> = found.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Ok(format!("{} | {}", options.join(" "), found.password.unwrap_or_else(|| "-".into())))
        };
        for (text, expected) in [
            ("mariadb://", " | -"),
            ("mysql://root@localhost", "user=root host=localhost | -"),
            ("mariadb://a:b%3A@h:3307/?ssl-ca=/x", "user=a host=h port=3307 ssl-ca=/x | b:"),
            ("mariadb://[::1]:1", "host=::1 port=1 | -"),
            ("mariadb:///?socket=/run/my.sock", "socket=/run/my.sock | -"),
        ] {
            assert_eq!(parsed(text), Ok(expected.to_owned()), "{text}");
        }
        for bad in ["", "host=x", "http://x", "mariadb://h/?a", "mariadb://h/?A=b", "mariadb://%2x@h", "mariadb://%"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
