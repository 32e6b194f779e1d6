//! Database users that a store mints: OpenBao's database engine on a real PostgreSQL.

use serde_json::json;

use super::bao::{Bao, Role};
use super::postgres::Postgres;

pub struct Database<'a> {
    pub bao: &'a Bao,
    pub postgres: Postgres,
}

impl<'a> Database<'a> {
    /// Mounted at `database`. `None`, and a SKIP, where there is no PostgreSQL.
    pub fn new(bao: &'a Bao) -> Option<Database<'a>> {
        let Some(postgres) = Postgres::start() else {
            super::skip("no PostgreSQL in /usr/lib/postgresql");
            return None;
        };
        bao.call("POST", "sys/mounts/database", json!({"type": "database"}));
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
            postgres.port
        );
        bao.call(
            "POST",
            "database/config/db",
            json!({"plugin_name": "postgresql-database-plugin", "connection_url": url, "allowed_roles": "*",
                "username": "postgres", "password": postgres.password}),
        );
        Some(Database { bao, postgres })
    }

    /// Users of this kind live so long, and an identity that may have one.
    pub fn kind(&self, kind: &str, default_ttl: &str, max_ttl: &str) -> Role {
        let make = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
        let role =
            json!({"db_name": "db", "creation_statements": [make], "default_ttl": default_ttl, "max_ttl": max_ttl});
        self.bao.call("POST", &format!("database/roles/{kind}"), role);
        let role = self.bao.role(&[]);
        let policy = self.bao.policy(&format!("path \"database/creds/{kind}\" {{ capabilities = [\"read\"] }}"));
        self.bao.call("POST", &format!("auth/approle/role/{}", role.name), json!({ "token_policies": policy }));
        role
    }

    /// Whether the store has not taken this user back.
    pub fn has(&self, user: &str) -> bool {
        self.postgres.superuser(&format!("select count(*) from pg_roles where rolname = '{user}'")) == "1"
    }
}
