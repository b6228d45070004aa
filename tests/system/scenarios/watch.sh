# shellcheck shell=bash
# tests/systemd.rs: the watch over units, the calls and their ends, each test on a service of its own.

log=/run/watch.log
WELLKEEP_TEST_OWN_MACHINE=1 /opt/systemd --ignored --test-threads=1 --nocapture --skip last_ --skip child_ >$log 2>&1
ended=$?
# Without a line break of its own a figure stands behind the name of its test.
grep -o 'figure .*' $log
while read -r name; do good "$name"; done < <(sed -n 's/^test \([a-z_]*\) \.\.\..*/\1/p' $log)
claim 'every test passes' "$(cat $log)" test $ended = 0
like 'there are tests' "$(tail -n 3 $log)" ' passed; 0 failed'
