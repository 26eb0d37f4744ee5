//! The way of a backup from `pg_dump` to its file, with the parse and the sums that prove it and without: what they cost is
//! the difference. `make bench` runs it beside itself.
//!
//! `ops-db-stream proven|bare RECIPIENT` reads an archive from stdin and writes the file to stdout.

use std::error::Error;
use std::io::{self, BufWriter, Read, Write};

use ops_db::manifest::Manifest;
use ops_db::seal::{Sealer, Summed};
use ops_db::{archive, keys, tee};

/// As much at a time as a backup passes on.
const PIECE: usize = 256 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (way, recipient) = (words.next(), words.next());
    let recipients = keys::recipients(&[recipient.ok_or("ops-db-stream proven|bare RECIPIENT")?])?;
    let mut source = io::stdin().lock();
    let output = BufWriter::with_capacity(PIECE, io::stdout().lock());
    let mut manifest = Manifest::default();
    let mut output = if way.as_deref() == Some("proven") {
        let mut sealer = Sealer::new(Summed::new(output), &recipients)?;
        let (copied, scan) = tee::tee(&mut source, &mut sealer, archive::scan);
        copied.map_err(|broken| format!("{broken:?}"))?;
        manifest.tables = scan?.tables;
        let (output, bytes, sum) = sealer.finish(&manifest)?.finish();
        assert!(bytes > 0 && sum != [0; 32], "the sums were made");
        output
    } else {
        let mut sealer = Sealer::new(output, &recipients)?;
        copy(&mut source, &mut sealer)?;
        sealer.finish(&manifest)?
    };
    Ok(output.flush()?)
}

/// One thread, one buffer.
fn copy(source: &mut impl Read, sink: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            read => sink.write_all(&buffer[..read])?,
        }
    }
}
