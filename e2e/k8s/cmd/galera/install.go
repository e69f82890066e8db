package main

import (
	"context"
	"fmt"
	"log"
	"os/exec"
	"strings"
)

// schema is what the first member makes before the cluster exists; the others get it by the state transfer.
// Reading status and variables needs no privilege; PROCESS is for drains and for readings of the processlist.
const schema = `FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User = '';
CREATE DATABASE IF NOT EXISTS lab;
CREATE OR REPLACE USER 'app'@'%' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'direct'@'%' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'probe'@'%' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'monitor'@'%' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'monitor'@'localhost' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'root'@'%' IDENTIFIED BY 'PASSWORD';
CREATE OR REPLACE USER 'root'@'localhost' IDENTIFIED BY 'PASSWORD';
GRANT ALL ON lab.* TO 'app'@'%';
GRANT ALL ON lab.* TO 'direct'@'%';
GRANT PROCESS ON *.* TO 'probe'@'%';
GRANT PROCESS ON *.* TO 'monitor'@'%';
GRANT PROCESS ON *.* TO 'monitor'@'localhost';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
GRANT ALL ON *.* TO 'root'@'localhost' WITH GRANT OPTION;
`

// install makes the database with the users.
func (m member) install(ctx context.Context) error {
	log.Print("making the database")
	out, err := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+dataDir,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	bootstrap := exec.CommandContext(ctx, program, "--no-defaults", "--datadir="+dataDir, "--bootstrap", "--skip-networking")
	password := strings.ReplaceAll(strings.ReplaceAll(m.Password, `\`, `\\`), "'", "''")
	bootstrap.Stdin = strings.NewReader(strings.ReplaceAll(schema, "PASSWORD", password))
	if out, err := bootstrap.CombinedOutput(); err != nil {
		return fmt.Errorf("users: %w: %s", err, out)
	}
	return nil
}
