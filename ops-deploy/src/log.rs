//! The log of a host: the record of every deployment, failed ones too.

use std::time::Duration;

use ops_common::host::{Command, Host};

use crate::error::Error;
use crate::record::{self, Record};

/// The last line of the log may be one that a power cut has left half: what comes next is on a line of its own.
const SCRIPT: &str = "cat /var/lib/ops-deploy/log.jsonl 2>/dev/null; echo; \
[ \"$(systemctl show -P ActiveState ops-deploy-lock.service 2>/dev/null)\" = active ] || \
cat /var/lib/ops-deploy/pending.json 2>/dev/null; echo; echo @end";

/// Reads the log of a host, oldest first. A deployment that nobody finished is in it.
pub fn read(host: &Host, name: &str) -> Result<(Vec<Record>, usize), Error> {
    let question = Command::script(SCRIPT, &[] as &[&str]).deadline(Duration::from_mins(1));
    let answer = host.output(&question).map_err(Error::from)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some(log) = text.strip_suffix("@end\n") else {
        return Err(Error::Log {
            host: name.to_owned(),
            reason: "the answer is cut".to_owned(),
        });
    };
    Ok(record::read_log(log))
}
