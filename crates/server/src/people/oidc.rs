//! Single sign-on by OpenID Connect: authorization code with PKCE and a nonce. What the issuer says is believed only with its signature.
//!
//! Never knows: who of those it vouches for is let in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthenticationFlow, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields,
    IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notice::{Why, sentence, web};
use crate::settings::Oidc;

/// What an issuer says of itself is asked anew after so long.
const FRESH: Duration = Duration::from_secs(600);
/// The longest answer of an issuer.
const LONGEST: usize = 1 << 20;

/// All that an issuer says of a person besides the usual.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct All {
    #[serde(flatten)]
    claims: HashMap<String, Value>,
}

impl AdditionalClaims for All {}

type Fields = IdTokenFields<
    All,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Party = Client<
    All,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What was begun with a browser, for when it comes back.
pub(crate) struct Begun {
    verifier: PkceCodeVerifier,
    nonce: Nonce,
    /// Where it comes back to.
    back: String,
    /// Which settings it was begun with.
    with: Oidc,
    /// The hash of what the browser keeps: no other one can come back in its place.
    pub(crate) browser: [u8; 32],
}

/// Somebody whom the issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// What they may be called, the best first.
    pub(crate) names: Vec<String>,
    pub(crate) groups: Vec<String>,
}

/// What issuers said of themselves lately.
#[derive(Default)]
pub(crate) struct Known(Mutex<Option<(String, Instant, Arc<CoreProviderMetadata>)>>);

impl Known {
    async fn metadata(&self, with: &Oidc) -> Result<Arc<CoreProviderMetadata>, Why> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((issuer, at, metadata)) = known
            && issuer == with.issuer
            && at.elapsed() < FRESH
        {
            return Ok(metadata);
        }
        let issuer = IssuerUrl::new(with.issuer.clone()).map_err(|error| sentence(&error))?;
        let asked = CoreProviderMetadata::discover_async(issuer, &asker(with)?).await;
        let metadata = Arc::new(asked.map_err(|error| sentence(&error))?);
        let fresh = (with.issuer.clone(), Instant::now(), metadata.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(metadata)
    }

    /// Asks anew the next time: keys may have changed.
    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn party(&self, with: &Oidc, secret: Option<&str>, back: &str) -> Result<Party, Why> {
        let metadata = (*self.metadata(with).await?).clone();
        let secret = secret.map(|secret| ClientSecret::new(secret.to_owned()));
        let party = Client::from_provider_metadata(metadata, ClientId::new(with.client_id.clone()), secret);
        Ok(party.set_redirect_uri(RedirectUrl::new(back.to_owned()).map_err(|error| sentence(&error))?))
    }

    /// Begins: where the browser is to go, by which word it is known when it comes back to `back`, and what is to be kept until then.
    ///
    /// # Errors
    /// The issuer cannot be asked.
    pub(crate) async fn begin(
        &self,
        (with, secret): (&Oidc, Option<&str>),
        back: String,
        browser: [u8; 32],
    ) -> Result<(String, String, Begun), Why> {
        let party = self.party(with, secret, &back).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let asked = party.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let asked = asked.add_scopes(with.scopes.iter().map(|scope| Scope::new(scope.clone())));
        let (url, state, nonce) = asked.set_pkce_challenge(challenge).url();
        let begun = Begun { verifier, nonce, back, with: with.clone(), browser };
        Ok((url.to_string(), state.into_secret(), begun))
    }

    /// Ends: whom the issuer vouches for, by the code that the browser brought.
    ///
    /// # Errors
    /// For nobody; why.
    pub(crate) async fn end(&self, begun: Begun, secret: Option<&str>, code: String) -> Result<Vouched, Why> {
        let party = self.party(&begun.with, secret, &begun.back).await?;
        let exchange = party.exchange_code(AuthorizationCode::new(code)).map_err(|error| sentence(&error))?;
        let answer = exchange.set_pkce_verifier(begun.verifier).request_async(&asker(&begun.with)?).await;
        let answer = answer.map_err(|error| sentence(&error))?;
        let token = answer.id_token().ok_or("the issuer gave no ID token")?;
        let verifier = party.id_token_verifier().set_allowed_algs(SIGNED);
        let claims = token.claims(&verifier, &begun.nonce).map_err(|error| {
            self.forget();
            sentence(&error)
        })?;
        let names = [
            claims.preferred_username().map(|name| name.to_string()),
            claims.email().map(|email| email.to_string()),
            Some(claims.subject().to_string()),
        ];
        Ok(Vouched {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            names: names.into_iter().flatten().collect(),
            groups: groups(claims.additional_claims().claims.get(&begun.with.groups_claim)),
        })
    }
}

/// Signatures that are believed: none with a secret that the issuer shares with others.
const SIGNED: [CoreJwsSigningAlgorithm; 6] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Groups as issuers list them: a list of words, or one word.
fn groups(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// An issuer could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unasked(Why);

/// What asks an issuer.
fn asker(with: &Oidc) -> Result<impl Fn(HttpRequest) -> AskFuture, Why> {
    let client = web::client(with.ca_pem.as_deref(), false)?;
    Ok(move |request: HttpRequest| -> AskFuture {
        let client = client.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(|error| Unasked(sentence(&error)))?;
            let response = client.execute(request).await;
            let response = response.map_err(|error| Unasked(sentence(&error.without_url())))?;
            let mut answer = axum::http::Response::builder().status(response.status());
            for (name, value) in response.headers() {
                answer = answer.header(name, value);
            }
            let body = web::body(response, LONGEST).await.map_err(Unasked)?;
            answer.body(body).map_err(|error| Unasked(sentence(&error)))
        })
    })
}

type AskFuture = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, Unasked>> + Send>>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_as_issuers_list_them() {
        assert_eq!(groups(Some(&json!(["a", "b", 3]))), ["a", "b"]);
        assert_eq!(groups(Some(&json!("a"))), ["a"]);
        assert!(groups(Some(&json!({"a": 1}))).is_empty() && groups(None).is_empty());
    }
}
