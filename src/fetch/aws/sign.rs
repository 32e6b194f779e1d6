//! Signed requests: AWS's own signer, and what it signs.

use std::time::SystemTime;

use aws_credential_types::Credentials as Signing;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::Request;

use crate::refusal::Refusal;
use crate::secret::SecretText;

/// What signs: of a user, or of a session with its token.
pub struct Credentials {
    pub id: String,
    pub secret: SecretText,
    pub token: Option<SecretText>,
}

/// A POST to the root of a service, signed now.
pub fn post(
    base: &str,
    service: &str,
    region: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    credentials: &Credentials,
) -> Result<Request<Vec<u8>>, Refusal> {
    let unbuilt = || Refusal::internal("a request to aws could not be signed");
    let uri = format!("{base}/");
    let token = credentials.token.as_ref().map(|token| token.expose().to_owned());
    let identity =
        Signing::new(credentials.id.clone(), credentials.secret.expose().to_owned(), token, None, "portcullis").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unbuilt())?;
    let signable = SignableRequest::new("POST", &uri, headers.iter().copied(), SignableBody::Bytes(body));
    let signed = sign(signable.map_err(|_| unbuilt())?, &params.into()).map_err(|_| unbuilt())?;
    let mut request = Request::post(&uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.to_vec()).map_err(|_| unbuilt())?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request)
}
