//! Secrets handed to programs.

use crate::bed::Bed;

fn bed() -> Bed {
    let bed = Bed::new();
    bed.write("e.yaml", bed.encrypt("p.yaml", "user: admin\ndb:\n  port: 5432\n  hosts:\n    - a\n    - b\nmulti: |\n  x\n  y\nflag: true\nnone: null\n"));
    bed
}

#[test]
fn exec_env_flattens_keys_and_hands_the_status_on() {
    let bed = bed();
    let ran = bed
        .ops(&["exec-env", "--pristine", "e.yaml", "--", "/usr/bin/env"])
        .run()
        .expect(0);
    assert_eq!(
        ran.out(),
        "db_hosts_0=a\ndb_hosts_1=b\ndb_port=5432\nflag=true\nmulti=x\ny\n\nnone=\nuser=admin\n"
    );
    assert_eq!(
        bed.ops(&["exec-env", "e.yaml", "printf %s \"$user:$db_port\"; exit 7"])
            .run()
            .expect(7)
            .out(),
        "admin:5432"
    );
    bed.ops(&["exec-env", "e.yaml", "--", "sh", "-c", "kill -TERM $$"])
        .run()
        .expect(143);
    bed.ops(&["exec-env", "e.yaml", "--", "no-such-program"])
        .run()
        .expect(127);
    bed.ops(&["exec-env", "e.yaml", "--", "/etc/passwd"])
        .run()
        .expect(126);
}

#[test]
fn exec_file_gives_a_fifo_or_a_file_in_memory_and_wipes_it() {
    let bed = bed();
    let plain = bed.read("p.yaml");
    let script = "test -p {} && stat -f -c %T {} && stat -c %a {} && echo {} && cat {}";
    let ran = bed
        .ops(&["exec-file", "e.yaml", script])
        .run()
        .expect(0)
        .out();
    let (head, text) = ran.split_at(ran.find("user:").expect("the text"));
    assert_eq!(text, plain);
    let head: Vec<&str> = head.lines().collect();
    assert_eq!(head[..2], ["tmpfs", "600"]);
    assert!(!std::path::Path::new(head[2]).exists(), "the fifo is gone");
    let ran = bed
        .ops(&[
            "exec-file",
            "--no-fifo",
            "--filename",
            "x.json",
            "--output-type",
            "json",
            "e.yaml",
            "--",
            "cat",
            "{}",
            "{}",
        ])
        .run()
        .expect(0)
        .out();
    assert_eq!(ran.matches("\"user\": \"admin\"").count(), 2);
    bed.ops(&["exec-file", "e.yaml", "exit 9"]).run().expect(9);
    bed.ops(&["exec-file", "e.yaml", "kill -KILL $$"])
        .run()
        .expect(137);
    bed.ops(&["exec-file", "e.yaml", "--", "no-such-program"])
        .run()
        .expect(127);
    bed.ops(&["exec-file", "--filename", "../x", "e.yaml", "true"])
        .run()
        .expect(2);
}

#[test]
fn another_user_gets_their_own_home_and_a_job_in_the_background_is_not_waited_for() {
    let bed = bed();
    if ops_tests::command("id").arg("-u").run().out().trim() == "0" {
        let ran = bed
            .ops(&["exec-env", "--user", "nobody", "e.yaml", "id -un; echo $USER $LOGNAME $user; cd \"$HOME\"; grep -q \"^nobody:.*:$HOME:\" /etc/passwd && echo home"])
            .run()
            .expect(0);
        assert_eq!(ran.out(), "nobody\nnobody nobody admin\nhome\n", "{ran}");
    } else {
        ops_tests::skip("root");
    }
    let fifo = bed.path("fifo");
    ops_tests::command("mkfifo").arg(&fifo).run().expect(0);
    // The job cannot end before this test reads from it.
    bed.ops(&["exec-env", "--background", "e.yaml", "echo $user > fifo"])
        .run()
        .expect(0);
    assert_eq!(bed.read("fifo"), "admin\n");
}
