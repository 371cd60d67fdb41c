//! A private Kafka broker: one KRaft node, controller and broker in one process.

use super::child::ChildProcess;
use super::launch::{Launch, Lifetime};
use super::paths::{java_home, kafka_lib};
use super::poll::Not;
use super::ports::loopback;
use super::service::Service;
use anyhow::{Context, bail, ensure};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Most brokers here live for minutes: the second compiler would take the cores it is meant to save.
const FOR_MINUTES: [&str; 5] =
    ["-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    process: ChildProcess,
    port: u16,
}

impl Kafka {
    /// Starts it in `dir`, formatting the storage if there is none. `extra_properties` are lines `key=value` that
    /// override the defaults here; `java_options`, unless empty, take the place of the usual ones.
    pub fn start(
        dir: &Path,
        port: u16,
        controller_port: u16,
        lifetime: Lifetime,
        java_options: &[String],
        extra_properties: &[String],
    ) -> anyhow::Result<Self> {
        let lib = kafka_lib();
        ensure!(lib.is_dir(), "no kafka jars in {}; run `cargo xtask provision`", lib.display());
        fs::create_dir_all(dir)?;
        let properties = dir.join("server.properties");
        fs::write(&properties, server_properties(dir, port, controller_port, extra_properties))?;
        let logging = dir.join("log4j2.properties");
        fs::write(&logging, LOGGING)?;
        let java = java_home()?.join("bin/java");
        format_storage(&java, dir, &properties)?;
        let launch = Launch::new("kafka", java, dir)
            .args(if java_options.is_empty() {
                FOR_MINUTES.map(str::to_owned).to_vec()
            } else {
                java_options.to_vec()
            })
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .args([OsString::from("-cp"), class_path()])
            .arg("kafka.Kafka")
            .arg(&properties)
            .lifetime(lifetime);
        let mut this = Self { process: ChildProcess::start(launch)?, port };
        this.wait_ready()?;
        Ok(this)
    }

    /// Where clients connect (`bootstrap.servers`).
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }
}

impl Service for Kafka {
    fn process(&self) -> &ChildProcess {
        &self.process
    }

    fn process_mut(&mut self) -> &mut ChildProcess {
        &mut self.process
    }

    fn probe(&self) -> Box<dyn Fn() -> Result<(), Not> + Send> {
        let address = self.address();
        Box::new(move || ask_api_versions(address).map_err(Not::yet))
    }
}

/// ApiVersions, version 0, the request that every broker answers first: size, key 18, version 0, correlation 7,
/// null client id. A broker opens its port to clients only once the controller has let it in.
pub fn ask_api_versions(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    ensure!(answer.get(4..) == Some(&[0, 0, 0, 7, 0, 0]), "kafka answered {answer:?} to ApiVersions");
    Ok(())
}

fn class_path() -> OsString {
    kafka_lib().join("*").into_os_string()
}

fn format_storage(java: &PathBuf, dir: &Path, properties: &Path) -> anyhow::Result<()> {
    if dir.join("data/meta.properties").is_file() {
        return Ok(());
    }
    let output = Command::new(java)
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(class_path())
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(properties)
        .stdin(Stdio::null())
        .output()
        .context("cannot start java")?;
    if !output.status.success() {
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        bail!("kafka storage format failed with {}:\n{}", output.status, text.trim());
    }
    Ok(())
}

fn server_properties(dir: &Path, port: u16, controller_port: u16, extra: &[String]) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# a killed broker may come back after 2 s in place of 9 s
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.retention.check.interval.ms=5000
log.initial.task.delay.ms=2000
{extra}
",
        data = dir.join("data").display(),
        extra = extra.join("\n"),
    )
}

const LOGGING: &str = "rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n%throwable
";
