//! The file as it is written. Unknown keys are refused; spans are kept where a later check may complain.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, Error, MapAccess, Visitor},
};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) source: BTreeMap<Spanned<String>, Source>,
    pub(crate) kafka: Kafka,
    pub(crate) store: Store,
    pub(crate) index: Option<Index>,
    #[serde(default)]
    pub(crate) redis: Redis,
    #[serde(default)]
    pub(crate) databus: Databus,
    #[serde(default)]
    pub(crate) sync_worker: SyncWorker,
    pub(crate) wallet_api: Option<WalletApi>,
    pub(crate) bill_api: Option<BillApi>,
    #[serde(default)]
    pub(crate) flow: Flow,
    #[serde(default)]
    pub(crate) pipeline: Vec<Spanned<Pipeline>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) host: String,
    #[serde(default = "mysql_port")]
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Spanned<Secret>,
    pub(crate) server_id: Spanned<u32>,
    pub(crate) tls: Option<Spanned<String>>,
    pub(crate) tls_ca: Option<Spanned<String>>,
    pub(crate) tls_cert: Option<Spanned<String>>,
    pub(crate) tls_key: Option<Spanned<String>>,
    pub(crate) tables: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) snapshot: SnapshotMode,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SnapshotMode {
    #[default]
    Initial,
    Never,
    WhenNeeded,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: Spanned<String>,
    #[serde(default = "bills")]
    pub(crate) bills_topic: Spanned<String>,
    pub(crate) bills_partitions: Option<Spanned<i32>>,
    pub(crate) retention_days: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) host: String,
    #[serde(default = "mysql_port")]
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Spanned<Secret>,
    #[serde(default = "bills")]
    pub(crate) database: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) url: Spanned<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Spanned<Secret>>,
    #[serde(default = "bills")]
    pub(crate) alias: Spanned<String>,
    pub(crate) refresh_interval_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) url: Option<Spanned<String>>,
    pub(crate) password: Option<Spanned<Secret>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Databus {
    pub(crate) admin_listen: Option<Spanned<String>>,
    pub(crate) commit_max_wait_ms: Option<Spanned<u64>>,
    pub(crate) commit_max_rows: Option<Spanned<u64>>,
    pub(crate) snapshot_connections: Option<Spanned<u64>>,
    pub(crate) snapshot_chunk_rows: Option<Spanned<u64>>,
    pub(crate) instance: Option<Spanned<String>>,
    pub(crate) purge_warning_hours: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncWorker {
    pub(crate) admin_listen: Option<Spanned<String>>,
    pub(crate) batch_max_records: Option<Spanned<u64>>,
    pub(crate) batch_max_wait_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalletApi {
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) admin_listen: Option<Spanned<String>>,
    pub(crate) rpc_listen: Option<Spanned<String>>,
    pub(crate) admin_token: Spanned<Secret>,
    pub(crate) rpc_token: Spanned<Secret>,
    pub(crate) master_key: Spanned<Secret>,
    pub(crate) database: Login,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) host: String,
    #[serde(default = "mysql_port")]
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Spanned<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BillApi {
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) admin_listen: Option<Spanned<String>>,
    pub(crate) wallet_rpc: Spanned<String>,
    pub(crate) rpc_token: Spanned<Secret>,
    pub(crate) cursor_key: Spanned<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    #[serde(default)]
    pub(crate) read: FlowClass,
    #[serde(default)]
    pub(crate) write: FlowClass,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowClass {
    pub(crate) per_second: Option<Spanned<u32>>,
    pub(crate) burst: Option<Spanned<u32>>,
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
pub(crate) struct Secret {
    pub(crate) env: Option<String>,
    pub(crate) file: Option<String>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str =
            "a secret never stands in this file: wanted { env = \"NAME\" } or { file = \"path\" }";
        struct SecretVisitor;
        // serde's own message for a wrong type shows the value, and the value written here by mistake is the secret
        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ env = \"NAME\" } or { file = \"path\" }")
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(WANTED))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(WANTED))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(WANTED))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let mut secret = Secret { env: None, file: None };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "env" => secret.env = Some(map.next_value()?),
                        "file" => secret.file = Some(map.next_value()?),
                        _ => return Err(A::Error::custom(WANTED)),
                    }
                }
                Ok(secret)
            }
        }
        deserializer.deserialize_any(SecretVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    pub(crate) name: Spanned<String>,
    pub(crate) source: Spanned<String>,
    pub(crate) table: Spanned<String>,
    #[serde(default)]
    pub(crate) when: Vec<Spanned<Condition>>,
    pub(crate) bill: Fields,
    #[serde(default)]
    pub(crate) side: Vec<Spanned<Side>>,
}

/// `[pipeline.bill]`: holds for every side that does not say otherwise.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    pub(crate) id: Option<Spanned<Field>>,
    pub(crate) bill_type: Option<Spanned<Field>>,
    pub(crate) direction: Option<Spanned<Field>>,
    pub(crate) status: Option<Spanned<Field>>,
    pub(crate) amount: Option<Spanned<Field>>,
    pub(crate) fee: Option<Spanned<Field>>,
    pub(crate) currency: Option<Spanned<Field>>,
    pub(crate) balance_after: Option<Spanned<Field>>,
    pub(crate) occurred_at: Option<Spanned<Field>>,
    pub(crate) posted_at: Option<Spanned<Field>>,
    pub(crate) counterparty: Option<Spanned<Field>>,
    pub(crate) order_no: Option<Spanned<Field>>,
    pub(crate) channel: Option<Spanned<Field>>,
    pub(crate) channel_ref: Option<Spanned<Field>>,
    pub(crate) remark: Option<Spanned<Field>>,
}

/// `[[pipeline.side]]`: whose bill it is, and what this side says differently. (serde's `flatten` would lose the spans.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) when: Vec<Spanned<Condition>>,
    pub(crate) account: Spanned<Field>,
    pub(crate) merchant: Spanned<Field>,
    pub(crate) bill_type: Option<Spanned<Field>>,
    pub(crate) direction: Option<Spanned<Field>>,
    pub(crate) status: Option<Spanned<Field>>,
    pub(crate) amount: Option<Spanned<Field>>,
    pub(crate) fee: Option<Spanned<Field>>,
    pub(crate) currency: Option<Spanned<Field>>,
    pub(crate) balance_after: Option<Spanned<Field>>,
    pub(crate) occurred_at: Option<Spanned<Field>>,
    pub(crate) posted_at: Option<Spanned<Field>>,
    pub(crate) counterparty: Option<Spanned<Field>>,
    pub(crate) order_no: Option<Spanned<Field>>,
    pub(crate) channel: Option<Spanned<Field>>,
    pub(crate) channel_ref: Option<Spanned<Field>>,
    pub(crate) remark: Option<Spanned<Field>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    pub(crate) column: Option<Spanned<String>>,
    pub(crate) constant: Option<Scalar>,
    pub(crate) values: Option<BTreeMap<String, String>>,
    pub(crate) otherwise: Option<Spanned<Otherwise>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) column: Spanned<String>,
    pub(crate) is: Option<Spanned<String>>,
    pub(crate) equals: Option<Scalar>,
    #[serde(rename = "in")]
    pub(crate) one_of: Option<Vec<Scalar>>,
}

/// A string, a whole number or a boolean; never a float, for amounts have none.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a whole number or a boolean")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(v.to_owned()))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(v))
            }
            fn visit_bool<E: Error>(self, v: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(v))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// `"refuse"`, `"keep"` or `{ constant = "text" }`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Otherwise {
    Refuse,
    Keep,
    Constant(String),
}

fn mysql_port() -> u16 {
    3306
}

fn bills() -> Spanned<String> {
    Spanned::new(0..0, "bills".to_owned())
}
