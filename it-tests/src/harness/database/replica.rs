//! Replicas of a server: GTID replication, catching up, promotion.

use super::options::ServerOptions;
use super::server::DatabaseServer;
use crate::harness::poll::{Not, wait_until};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

impl DatabaseServer {
    /// Starts a replica of this server that follows it by GTID, writes a binlog of its own, takes no writes but from
    /// those who may everything, and has the same users and passwords. The binlog of this server must reach back to
    /// its beginning. Without a `server_id` of its own in the options the replica gets this server's plus one.
    pub fn start_replica(&self, options: ServerOptions) -> anyhow::Result<Self> {
        let mut options = options.secrets(self.secrets()).arg("--read-only=ON");
        let own: u32 = self.sql("SELECT @@server_id")?.trim().parse()?;
        if options.server_id == own {
            options.server_id = own + 1;
        }
        let replica = Self::start(self.flavour(), options)?;
        replica.follow(self)?;
        Ok(replica)
    }

    /// Makes this server a replica of another from where its own GTIDs end: a new replica, or a former source that
    /// comes back.
    pub fn follow(&self, source: &Self) -> anyhow::Result<()> {
        let (port, password) = (source.address().port(), &source.secrets().admin);
        self.sql(&if self.flavour().is_mysql() {
            format!(
                "STOP REPLICA;
                 CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'admin',
                   SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1,
                   SOURCE_CONNECT_RETRY = 1;
                 START REPLICA; SET GLOBAL read_only = ON;"
            )
        } else {
            // what this server wrote itself as a source is not in its slave position yet
            format!(
                "STOP SLAVE;
                 SET GLOBAL gtid_slave_pos = @@gtid_current_pos;
                 CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'admin',
                   MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1;
                 START SLAVE; SET GLOBAL read_only = ON;"
            )
        })?;
        Ok(())
    }

    /// The transactions in this server's binlog: MariaDB's position `0-1-7`, MySQL's set `uuid:1-7`.
    pub fn gtids(&self) -> anyhow::Result<String> {
        let variable = if self.flavour().is_mysql() { "@@gtid_executed" } else { "@@gtid_binlog_pos" };
        Ok(self.sql(&format!("SELECT {variable}"))?.trim().replace("\\n", ""))
    }

    /// Waits until this replica has applied all that the source has committed by now.
    pub fn wait_caught_up(&self, source: &Self) -> anyhow::Result<()> {
        let wanted = source.gtids()?;
        let question = if self.flavour().is_mysql() {
            format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{wanted}', 1)")
        } else {
            format!("SELECT MASTER_GTID_WAIT('{wanted}', 1)")
        };
        wait_until(&format!("a replica to reach {wanted}"), DEADLINE, || {
            match self.sql(&question).map_err(Not::Ever)?.trim() {
                "0" => Ok(()),
                _ => Err(Not::Yet(self.replication_status().unwrap_or_else(|error| format!("{error:#}")))),
            }
        })
    }

    /// Makes a replica a server of its own that takes writes: what a failover does.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.sql(if self.flavour().is_mysql() {
            "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF"
        } else {
            "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF"
        })?;
        Ok(())
    }

    /// What replication says of itself: where it is, and its last errors.
    fn replication_status(&self) -> anyhow::Result<String> {
        let question =
            if self.flavour().is_mysql() { "SHOW REPLICA STATUS\\G" } else { "SHOW SLAVE STATUS\\G" };
        let wanted = ["Running:", "Error:", "Gtid_IO_Pos:", "Executed_Gtid_Set:"];
        let told = self.sql(question)?;
        let lines = told.lines().map(str::trim).filter(|line| wanted.iter().any(|word| line.contains(word)));
        Ok(format!("at {}; {}", self.gtids()?, lines.collect::<Vec<_>>().join(", ")))
    }
}
