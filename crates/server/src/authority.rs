//! The server's own certificate authority: it signs the server's certificate and those of machines, and nobody else's.
//!
//! Never knows: who may have a certificate, or which were taken back.

use std::net::IpAddr;
use std::time::Duration;

use backstay_format::units::Timestamp;
use data_encoding::BASE32_NOPAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

use crate::ServerError;
use crate::place::Place;

const KEY: &str = "ca/key.pem";
const CERTIFICATE: &str = "ca/certificate.pem";

/// Days that the authority lasts: its end would be that of every enrolment.
const AUTHORITY_DAYS: u64 = 36_500;
/// Days that the server's certificate lasts. It is made anew long before, see room's port.
const SERVER_DAYS: u64 = 397;
/// Days that a machine's certificate lasts: machines renew theirs when a third is left. It is looked up at each connection, so it is
/// taken back at once, not by its end.
const MACHINE_DAYS: u64 = 397;
/// Days that certificates were good already when they are made: one made by a clock that was ahead is of use when it is set right. With
/// the days after, it is less than the 825 that some browsers bear.
const BEFORE_DAYS: u64 = 400;

/// The authority.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for a machine.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) pem: String,
    /// SHA-256 of it: by that it is known again.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) serial: String,
}

impl Authority {
    /// The authority of a data folder; a new one if it has none.
    ///
    /// # Errors
    /// [`ServerError::Place`], [`ServerError::Bad`].
    pub(crate) fn open(place: &Place, now: Timestamp) -> Result<Authority, ServerError> {
        // The key first: a certificate without its key would be an authority that can never sign.
        let key = place.keep(KEY, || KeyPair::generate().expect("a key can be made").serialize_pem())?;
        let bad = |file: &str, why: &dyn std::fmt::Display| ServerError::Bad {
            place: place.path(file),
            why: why.to_string(),
        };
        let key = KeyPair::from_pem(&key).map_err(|e| bad(KEY, &e))?;
        let pem = match place.read(CERTIFICATE)? {
            Some(pem) => pem.to_string(),
            None => {
                let made = own_params(now).self_signed(&key).map_err(|e| bad(CERTIFICATE, &e))?.pem();
                place.write(CERTIFICATE, &made)?;
                made
            }
        };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| bad(CERTIFICATE, &e))?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| bad(CERTIFICATE, &e))?;
        Ok(Authority { pem, der, issuer })
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// SHA-256 of its certificate, as people compare it: pairs of hex digits.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.der);
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// The code that a machine is enrolled with: the secret, and by what the server is known on first contact.
    pub(crate) fn code(&self, secret: &[u8; 10]) -> String {
        let digest = Sha256::digest(&self.der);
        BASE32_NOPAD.encode(&[&secret[..], &digest[..16]].concat())
    }

    /// A certificate for the server itself, with its key, which is kept nowhere else.
    pub(crate) fn server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), ServerError> {
        let failed = |_| ServerError::Name(names.join(", "));
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.clone().try_into().map_err(failed)?),
            });
        }
        params.distinguished_name = named(names.first().map_or("backstay", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        last(&mut params, now, (BEFORE_DAYS, SERVER_DAYS));
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it was just made");
        Ok((certificate.der().clone(), key))
    }

    /// Signs a machine's request. Of what the request says only the key is taken. `None`: it is not a request, or whoever wrote it
    /// does not have the key.
    pub(crate) fn machine(&self, id: &str, csr: &str, serial: [u8; 16], now: Timestamp) -> Option<Issued> {
        let request = CertificateSigningRequestParams::from_pem(csr).ok()?;
        let mut params = CertificateParams::default();
        let name = format!("machine:{id}");
        params.distinguished_name = named(&name);
        params.subject_alt_names = vec![SanType::URI(name.try_into().ok()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        last(&mut params, now, (BEFORE_DAYS, MACHINE_DAYS));
        let certificate = params.signed_by(&request.public_key, &self.issuer).ok()?;
        Some(Issued {
            fingerprint: fingerprint(certificate.der()),
            pem: certificate.pem(),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

/// By what a certificate is known again.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn own_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = named("Backstay server authority");
    last(&mut params, now, (BEFORE_DAYS, AUTHORITY_DAYS));
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// From so many days ago, for clocks differ, for so many days from now.
fn last(params: &mut CertificateParams, now: Timestamp, (before, days): (u64, u64)) {
    const DAY: u64 = 86_400;
    let seconds = u64::try_from(now.0 / crate::moment::SECOND).unwrap_or(0);
    let at = |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = at(seconds.saturating_sub(before * DAY));
    params.not_after = at(seconds + days * DAY);
}
