//! Between the slice and the `aws:` source: what init opened becomes what the source takes.

use std::time::Instant;

use super::aws::{self, Login, Store, Want};
use super::given::Given;
use super::role::one_line;
use crate::console;
use crate::refusal::Refusal;
use crate::secret::Fetched;
use crate::wire::slice::{AwsLogin, AwsStore, Wanted};

/// One value for each of `wanted`, in their order.
pub fn values(
    store: &AwsStore,
    wanted: &[&Wanted],
    given: &mut Given,
    deadline: Instant,
    check: bool,
) -> Result<Vec<Fetched>, Refusal> {
    let wants: Vec<Want> = wanted.iter().map(|wanted| want(wanted)).collect();
    let store = Store {
        region: store.region.clone(),
        endpoint: store.endpoint.clone(),
        sts: store.sts.clone(),
        ca_pem: given.bytes(store.ca, "the CA file")?,
        min_tls: store.min_tls,
        login: login(&store.login, given)?,
        assume: store.assume.clone(),
    };
    let answer = aws::fetch(store, &wants, deadline.saturating_duration_since(Instant::now()), check)?;
    answer.notes.iter().for_each(|note| console::note(note));
    Ok(answer.fetched)
}

fn want(wanted: &Wanted) -> Want {
    let query = |key: &str| wanted.from.query.get(key).cloned();
    Want {
        name: wanted.name.clone(),
        id: wanted.from.path.clone(),
        field: wanted.from.field.clone(),
        stage: query("stage"),
        version: query("version"),
        base64: wanted.base64,
    }
}

fn login(login: &AwsLogin, given: &mut Given) -> Result<Login, Refusal> {
    let mut word = |place, what: &str| one_line(given.text(place, what)?, what);
    Ok(match login.clone() {
        AwsLogin::WebIdentity { role_arn, token } => {
            Login::WebIdentity { role_arn, token: word(token, "the file aws.auth.token_file")? }
        }
        AwsLogin::Container { uri, token } => {
            Login::Container { uri, token: token.map(|token| word(token, "the file aws.auth.token_file")).transpose()? }
        }
        AwsLogin::Instance { endpoint } => Login::Instance { endpoint },
        AwsLogin::Profile { file, profile } => {
            Login::Profile { file: given.text(file, "the file aws.auth.file")?, profile }
        }
        AwsLogin::Keys { access_key_id, secret } => {
            Login::Keys { access_key_id, secret: word(secret, "the file aws.auth.secret_access_key_file")? }
        }
    })
}
