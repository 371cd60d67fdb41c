//! bill-api as a process against a real MariaDB and Redis, over signed HTTP.

mod access;
mod desk;
mod lists;
mod outages;
mod world;

use std::time::Duration;

use anyhow::Result;
use it_tests::harness::{Not, wait_until_async};
use it_tests::workload::App;
use serde_json::Value;

use crate::shared::stack;
use world::{BillClient, World};

async fn world() -> Result<World> {
    World::new(stack()?, |_| Ok(())).await
}

async fn refused_within(client: &BillClient, app: &App, deadline: Duration) -> Result<()> {
    wait_until_async("the key to be refused", deadline, async || match client.get(app, "/v1/bills").await {
        Ok(answer) if answer.status == 401 => Ok(()),
        Ok(answer) => Err(Not::Yet(answer.status.to_string())),
        Err(error) => Err(Not::Ever(error)),
    })
    .await
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|bill| bill["bill_id"].as_str().map(str::to_owned)).collect()
}
