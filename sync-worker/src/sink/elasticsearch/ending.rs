//! Ends the documents of a table that was emptied: tombstones under the gate, never an update by query, which passes the gate by.

use change_event::barrier::Barrier;
use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::{ALIAS_ONLY, BillIndex, verdict::Verdict};

/// Documents of one page.
const PAGE: usize = 1_000;

impl BillIndex {
    /// Page by page in the order of the documents' names; answers how many.
    pub(super) async fn end_in_pages(&self, barrier: &Barrier) -> Result<u64, String> {
        // what was written so far is found only from here on
        self.ask(Method::Post, &format!("/{}/_refresh", self.alias), None).await?;
        let (mut ended, mut after) = (0, None::<Value>);
        loop {
            let mut search = json!({
                "size": PAGE,
                "sort": [{ "account_id": "asc" }, { "bill_id": "asc" }],
                "query": { "bool": { "filter": [
                    { "term": { "source": barrier.source } },
                    { "terms": { "pipeline": barrier.pipelines } },
                    { "range": { "version": { "lt": barrier.version } } },
                ] } },
            });
            if let Some(after) = &after {
                search["search_after"] = after.clone();
            }
            let found = self.ask(Method::Post, &format!("/{}/_search", self.alias), Some(search)).await?;
            let hits = found["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
            let Some(last) = hits.last() else { return Ok(ended) };
            after = Some(last["sort"].clone());
            let body = tombstones(hits, barrier);
            match self.bulk(self.alias(), ALIAS_ONLY, body, hits.len()).await {
                Ok(Verdict::Durable) => ended += hits.len() as u64,
                Ok(other) => return Err(format!("{other:?}")),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let (status, answer) = self.send(method, path, body).await.map_err(|error| error.to_string())?;
        // a search that some shard did not answer is not the whole
        let whole = answer["_shards"]["failed"] == 0 && answer["timed_out"] != true;
        if status == 200 && whole { Ok(answer) } else { Err(self.refused(path, status, &answer).to_string()) }
    }
}

fn tombstones(hits: &[Value], barrier: &Barrier) -> String {
    let mut body = String::new();
    for hit in hits {
        let action = json!({ "index": { "_id": hit["_id"], "version": barrier.version, "version_type": "external_gte" } });
        let mut document = hit["_source"].clone();
        document["deleted"] = json!(true);
        document["version"] = json!(barrier.version);
        document["committed_at"] = json!(barrier.committed_at);
        body.push_str(&format!("{action}\n{document}\n"));
    }
    body
}
