//! A real cluster of three on raft: each member serves, and a start goes on when the one that leads has died.

mod support;

use std::time::{Duration, Instant};

use portcullis::config::model::{Leases, TlsVersion};
use portcullis::fetch::vault::{Answer, Credential, Engines, Login, Purpose, Store, Want, fetch};
use portcullis::refusal::{Exit, Refusal};
use portcullis::secret::SecretText;
use serde_json::json;
use support::bao::{Bao, Cluster, Role};

const DEADLINE: Duration = Duration::from_secs(10);

fn get(addresses: &[&str], ca: &[u8], role: &Role) -> Result<Answer, Refusal> {
    let secret_id = Credential::Plain(SecretText::new(role.secret_id.clone()));
    let store = Store {
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        namespace: None,
        ca_pem: ca.to_vec(),
        identity: None,
        min_tls: TlsVersion::V13,
        engines: Engines::default(),
        leases: Leases::Refuse,
        login: Login::AppRole { mount: "approle".into(), role_id: role.role_id.clone(), secret_id },
    };
    let want = Want { name: "k".into(), path: "secret/of-three".into(), field: "k".into(), ..Want::default() };
    let begun = Instant::now();
    let outcome = fetch(store, &[want], DEADLINE, Purpose::Start, &|| Ok(()));
    assert!(begun.elapsed() < DEADLINE + Duration::from_millis(500), "{:?}", begun.elapsed());
    outcome
}

#[track_caller]
fn served(outcome: Result<Answer, Refusal>) -> Answer {
    let answer = outcome.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(answer.fetched[0].value.expose(), "value-of-three");
    answer
}

#[test]
fn a_cluster_serves_at_every_address_and_when_its_leader_has_died() {
    if Bao::shared().is_none() {
        return;
    }
    let mut cluster = Cluster::start().expect("three servers");
    let leader = cluster.leader().expect("somebody leads");
    let first = &cluster.nodes[leader];
    first.put("secret", "of-three", json!({"k": "value-of-three"}));
    let role = first.role(&["secret/data/of-three"]);
    let ca = first.ca.pem.clone();
    for node in &cluster.nodes {
        let answer = served(get(&[&node.address], &ca, &role));
        assert_eq!(answer.warnings, [""; 0], "a standby passes requests on by itself");
    }

    let dead = cluster.nodes.remove(leader);
    let (address, others) = (dead.address.clone(), [0, 1].map(|at| cluster.nodes[at].address.clone()));
    let all = [address.as_str(), &others[0], &others[1]];
    drop(dead);
    // While there is no leader, a refusal that says so, and soon; an election may be over before it is asked.
    if let Err(refusal) = get(&all, &ca, &role) {
        println!("{refusal}");
        assert_eq!(refusal.exit, Exit::StoreUnavailable, "{refusal}");
    }
    let node = &cluster.nodes[0];
    node.wait_until("another leads", || cluster.leader().is_some());
    let answer = served(get(&all, &ca, &role));
    assert!(answer.warnings[0].contains(&format!("{address} refuses the connection")), "{:?}", answer.warnings);
}
