//! The index behind the alias: created once, its mapping strict.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::{BillIndex, IndexError};

impl BillIndex {
    /// Creates `<alias>-v1` with the alias on it, unless the alias is already there, and `<alias>-progress`. Returns what it did.
    pub async fn migrate(&self) -> Result<String, IndexError> {
        let done = self.migrate_bills().await?;
        let path = format!("/{}", self.progress());
        let (status, answer) = self.send(Method::Put, &path, Some(progress_definition())).await?;
        if status == 200 || answer["error"]["type"] == "resource_already_exists_exception" {
            return Ok(done);
        }
        Err(self.refused(&format!("PUT {path}"), status, &answer))
    }

    async fn migrate_bills(&self) -> Result<String, IndexError> {
        match self.check().await {
            Ok(index) => return Ok(format!("alias {} stands on {index}", self.alias)),
            Err(IndexError::NoAlias { .. }) => {}
            Err(error) => return Err(error),
        }
        let index = format!("{}-v1", self.alias);
        let mut body = definition(self.refresh_interval.as_millis());
        body["aliases"] = json!({ self.alias.as_str(): {} });
        let (status, answer) = self.send(Method::Put, &format!("/{index}"), Some(body)).await?;
        if answer["error"]["type"] == "resource_already_exists_exception" {
            // another migration was faster, or the index stands there without its alias: only the first is well
            return self.check().await.map(|index| format!("alias {} stands on {index}", self.alias));
        }
        if status == 200 {
            return Ok(format!("created index {index} with alias {}", self.alias));
        }
        Err(self.refused(&format!("PUT /{index}"), status, &answer))
    }

    /// The index that the alias stands on, or why it cannot be used.
    pub async fn check(&self) -> Result<String, IndexError> {
        let path = format!("/_alias/{}", self.alias);
        let (status, answer) = self.send(Method::Get, &path, None).await?;
        if let (200, Some(index)) = (status, answer.as_object().and_then(|indexes| indexes.keys().next())) {
            return Ok(index.clone());
        }
        if status != 404 {
            return Err(self.refused(&format!("GET {path}"), status, &answer));
        }
        let (status, _) = self.send(Method::Head, &format!("/{}", self.alias), None).await?;
        let (url, alias) = (self.url.clone(), self.alias.clone());
        Err(if status == 200 {
            IndexError::NotAnAlias { url, alias }
        } else {
            IndexError::NoAlias { url, alias }
        })
    }

    /// An answer that says no, as an error.
    pub fn refused(&self, request: &str, status: u16, answer: &Value) -> IndexError {
        let body = answer.to_string().chars().take(300).collect();
        IndexError::Refused { url: self.url.clone(), request: request.to_owned(), status, body }
    }
}

fn progress_definition() -> Value {
    let keyword = json!({ "type": "keyword" });
    json!({
        "settings": { "number_of_shards": 1, "number_of_replicas": 0 },
        "mappings": {
            "dynamic": "strict",
            "properties": {
                "topic": keyword, "topic_partition": { "type": "integer" }, "source": keyword, "seq": { "type": "long" },
                "gtid": keyword, "as_of": { "type": "date_nanos" },
            },
        },
    })
}

fn definition(refresh_interval_ms: u128) -> Value {
    let keyword = json!({ "type": "keyword" });
    let long = json!({ "type": "long" });
    // a u32 of microseconds does not fit in `date`, which keeps milliseconds
    let time = json!({ "type": "date_nanos" });
    // exact by the field, by words in its subfield
    let searchable =
        json!({ "type": "keyword", "fields": { "text": { "type": "text", "analyzer": "standard" } } });
    json!({
        "settings": {
            "number_of_shards": 1,
            "number_of_replicas": 0,
            "refresh_interval": format!("{refresh_interval_ms}ms"),
            "codec": "default",
        },
        "mappings": {
            "dynamic": "strict",
            "properties": {
                "account_id": keyword, "bill_id": keyword, "version": long, "deleted": { "type": "boolean" },
                "pipeline": keyword, "source": keyword, "side": keyword, "merchant_id": keyword,
                "bill_type": keyword, "direction": keyword, "status": keyword,
                "amount": long, "fee": long, "currency": keyword, "balance_after": long,
                "occurred_at": time, "posted_at": time, "committed_at": time,
                "counterparty": searchable, "order_no": searchable, "remark": searchable,
                "channel": keyword, "channel_ref": keyword,
            },
        },
    })
}
