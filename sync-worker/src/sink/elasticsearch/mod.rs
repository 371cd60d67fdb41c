//! The bill index: one bulk request per batch, external versions as the gate. The only folder that knows the client.

mod document;
mod ending;
mod schema;
mod verdict;

use std::time::Duration;

use change_event::{barrier::Barrier, progress::Mark, quarantine::Stage, stage2::BillRecord};
use elasticsearch::{
    Elasticsearch,
    auth::Credentials,
    http::{
        Method, Url,
        headers::{CONTENT_TYPE, HeaderMap, HeaderValue},
        transport::{SingleNodeConnectionPool, TransportBuilder},
    },
};
use pipeline_config::Index;
use secrecy::ExposeSecret as _;

pub use document::id as document_id;
use verdict::Verdict;

use super::{Sink, SinkError};

/// A client that never answers is worth less than one that says so.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The client, bound to the configured alias.
#[derive(Clone)]
pub struct BillIndex {
    client: Elasticsearch,
    alias: String,
    url: String,
    refresh_interval: Duration,
}

/// The index cannot be used as it stands.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The address or the client's set-up is wrong.
    #[error("index.url {url}: {cause}")]
    Client {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The secret is not there.
    #[error(transparent)]
    Secret(#[from] pipeline_config::SecretError),
    /// No answer.
    #[error("the bill index at {url} does not answer: {cause}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
    /// An answer that says no.
    #[error("the bill index at {url} answers {status} to {request}: {body}")]
    Refused {
        /// The address.
        url: String,
        /// What was asked.
        request: String,
        /// HTTP status.
        status: u16,
        /// First part of the answer.
        body: String,
    },
    /// The alias is missing.
    #[error("the bill index at {url} has no alias {alias}: run `sync-worker migrate`")]
    NoAlias {
        /// The address.
        url: String,
        /// The alias.
        alias: String,
    },
    /// Something else has the alias's name.
    #[error("{alias} at {url} is an index of its own, not an alias: choose another index.alias")]
    NotAnAlias {
        /// The address.
        url: String,
        /// The alias.
        alias: String,
    },
}

impl IndexError {
    /// True if the index may come back by itself: no answer, or one that says "not now", as while a cluster starts.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..=599),
            _ => false,
        }
    }
}

/// Bills go to the alias alone: an index made by chance under its name would have no mapping.
const ALIAS_ONLY: &str = "&require_alias=true";

impl BillIndex {
    /// A client for the configured index; nothing is sent yet.
    pub fn new(index: &Index) -> Result<Self, IndexError> {
        let wrong = |cause: String| IndexError::Client { url: index.url.clone(), cause };
        let url = Url::parse(&index.url).map_err(|error| wrong(error.to_string()))?;
        let mut builder =
            TransportBuilder::new(SingleNodeConnectionPool::new(url)).timeout(TIMEOUT).disable_proxy();
        if let Some((user, password)) = &index.login {
            let password = password.resolve()?.expose_secret().to_owned();
            builder = builder.auth(Credentials::Basic(user.clone(), password));
        }
        let transport = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            client: Elasticsearch::new(transport),
            alias: index.alias.clone(),
            url: index.url.clone(),
            refresh_interval: index.refresh_interval,
        })
    }

    /// Sends a JSON request to `path` and returns the answer's JSON, whatever its status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<(u16, serde_json::Value), IndexError> {
        let body = body.map(|body| body.to_string());
        let (status, text) = self.exchange(method, path, "application/json", body).await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))))
    }

    /// The alias that readers and writers use.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Sends a bulk body of so many items to an index, and judges the answer. `also`: one more parameter, `&` in front.
    async fn bulk(&self, index: &str, also: &str, body: String, items: usize) -> Result<Verdict, IndexError> {
        let path = format!(
            "/{index}/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason{also}"
        );
        let (status, text) = self.exchange(Method::Post, &path, "application/x-ndjson", Some(body)).await?;
        Ok(verdict::judge(status, &text, items))
    }

    /// The index that holds how far sources are.
    pub fn progress(&self) -> String {
        format!("{}-progress", self.alias)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Option<String>,
    ) -> Result<(u16, String), IndexError> {
        let unreachable = |error: &dyn std::error::Error| IndexError::Unreachable {
            url: self.url.clone(),
            cause: chain(error),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let sent = self.client.send(method, path, headers, None::<&()>, body, None).await;
        let response = sent.map_err(|error| unreachable(&error))?;
        let status = response.status_code().as_u16();
        let text = response.text().await.map_err(|error| unreachable(&error))?;
        Ok((status, text))
    }
}

impl Sink for BillIndex {
    fn stage(&self) -> Stage {
        Stage::BillIndex
    }

    async fn end_older(&self, barrier: &Barrier) -> Result<u64, String> {
        self.end_in_pages(barrier).await
    }

    fn mark_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn mark(&self, topic: &str, marks: &[(i32, Mark)]) -> Result<(), String> {
        // what the marks cover is searchable only from here on
        let path = format!("/{}/_refresh", self.alias);
        let (status, answer) =
            self.send(Method::Post, &path, None).await.map_err(|error| error.to_string())?;
        if status != 200 {
            return Err(self.refused(&format!("POST {path}"), status, &answer).to_string());
        }
        let body = document::marks_body(topic, marks).map_err(|error| error.to_string())?;
        match self.bulk(&self.progress(), "", body, marks.len()).await {
            Ok(Verdict::Durable) => Ok(()),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn write(&self, batch: &[BillRecord]) -> Result<(), SinkError> {
        let body = document::bulk_body(batch).map_err(|error| SinkError::down(batch, error))?;
        let verdict = self.bulk(&self.alias, ALIAS_ONLY, body, batch.len()).await;
        match verdict.map_err(|error| SinkError::down(batch, error))? {
            Verdict::Durable => Ok(()),
            Verdict::Retry { left, cause } => Err(SinkError::Transient { left, cause }),
            Verdict::Refused { refused, left } => Err(SinkError::Definite { refused, left }),
            Verdict::Stop { cause } => Err(SinkError::down(batch, cause)),
        }
    }
}

/// The error with its causes: the client's own text alone says only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_not_up_yet_is_away_and_one_that_forbids_is_not() {
        let refused = |status| IndexError::Refused {
            url: String::new(),
            request: String::new(),
            status,
            body: String::new(),
        };
        assert!(refused(503).is_away() && refused(429).is_away());
        assert!(!refused(401).is_away() && !refused(400).is_away());
    }
}
