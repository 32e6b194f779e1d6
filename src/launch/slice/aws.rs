//! AWS's part of the slice.

use super::Bag;
use crate::plan::{AwsLoginPlan, AwsPlan};
use crate::refusal::Refusal;
use crate::wire::slice::{AwsLogin, AwsStore};

pub fn part(plan: &AwsPlan, bag: &mut Bag) -> Result<AwsStore, Refusal> {
    let login = match plan.login.clone() {
        AwsLoginPlan::WebIdentity { role_arn, token } => AwsLogin::WebIdentity { role_arn, token: bag.open(&token)? },
        AwsLoginPlan::Container { uri, token } => {
            AwsLogin::Container { uri, token: token.map(|token| bag.open(&token)).transpose()? }
        }
        AwsLoginPlan::Instance { endpoint } => AwsLogin::Instance { endpoint },
        AwsLoginPlan::Profile { file, profile } => AwsLogin::Profile { file: bag.open(&file)?, profile },
        AwsLoginPlan::Keys { access_key_id, secret } => AwsLogin::Keys { access_key_id, secret: bag.open(&secret)? },
    };
    Ok(AwsStore {
        region: plan.region.clone(),
        endpoint: plan.endpoint.clone(),
        sts: plan.sts.clone(),
        ca: bag.open(&plan.ca)?,
        min_tls: plan.min_tls,
        login,
        assume: plan.assume.as_ref().map(|role| (role.role_arn.clone(), role.external_id.clone())),
    })
}
