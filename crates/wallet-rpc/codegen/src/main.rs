//! Generates `wallet-rpc/src/generated.rs` from `idl/wallet.thrift`.
//!
//! The generated file starts with the SHA-256 of the IDL it came from; a unit test of `wallet-rpc` compares the two,
//! so that an IDL changed without running this fails the build.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

const GENERATED: &str = "volo_gen.rs";

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let idl = here.join("../../../idl/wallet.thrift");
    let target = here.join("../src/generated.rs");
    let scratch = scratch_folder()?;

    volo_build::Builder::thrift()
        .add_service(&idl)
        .out_dir(&scratch)
        .filename(PathBuf::from(GENERATED))
        .with_descriptor(false)
        .with_field_mask(false)
        .with_comments(true)
        .write()
        .with_context(|| format!("generate from {}", idl.display()))?;

    let digest = hex::encode(Sha256::digest(std::fs::read(&idl).context("read the idl")?));
    let body = std::fs::read_to_string(scratch.join(GENERATED)).context("read the generated file")?;
    let header = format!(
        "// @generated from idl/wallet.thrift by crates/wallet-rpc/codegen. Do not edit.\n// idl-sha256: {digest}\n"
    );
    std::fs::write(&target, format!("{header}{body}"))
        .with_context(|| format!("write {}", target.display()))?;
    std::fs::remove_dir_all(&scratch).context("remove the scratch folder")?;
    eprintln!("wrote {} for idl {digest}", target.display());
    Ok(())
}

fn scratch_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("wallet-rpc-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
