#!/bin/bash
# Builds the real mautrix-slack through Go modules: bridge.sh OUT
#
# The module replaces one of its dependencies, which `go install` refuses, so the build starts from a wrapper
# module. The pins are the newest pair that the public module proxy serves without restriction; the bridge was
# written for a later slackgo, and five small substitutions close the gap. None of them touches Socket Mode,
# bridge states or log lines, which is what the tests are about. Each must strike as often as stated.
set -euo pipefail

bridge=go.mau.fi/mautrix-slack bridge_version=v0.2607.0
slack=github.com/beeper/slackgo slack_version=v0.0.0-20260225215211-31e7c5e563ed

out=$(realpath -m "$1")
work=$out.build
rm -rf "$work"
mkdir -p "$work"
cd "$work"
PATH=$PATH:/usr/local/go/bin
export GOFLAGS=-modcacherw GOTOOLCHAIN=local CGO_ENABLED=1

# substitute COPIES FILE OLD NEW: replaces OLD, a fixed string, which must be on exactly COPIES lines of FILE.
substitute() {
    local hits
    hits=$(grep -cF -- "$3" "$2" || true)
    [ "$hits" = "$1" ] || { echo "bridge.sh: '$3' is in $2 $hits times, expected $1" >&2; exit 1; }
    OLD=$3 NEW=$4 perl -pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/g' "$2"
}

# fetch MODULE VERSION DIR: a writable copy of a module.
fetch() {
    local dir
    dir=$(cd "$work" && go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -n "$dir" ] || { echo "bridge.sh: the module proxy does not serve $1@$2" >&2; exit 1; }
    cp -r "$dir" "$3"
    chmod -R u+w "$3"
}

cat > go.mod <<END
module ops-lab.example/bridge

go 1.25.0
END
fetch "$slack" "$slack_version" slackgo
fetch "$bridge" "$bridge_version" mautrix-slack

cat > slackgo/ops_lab.go <<'END'
package slack

import "context"

type UploadFileParameters = UploadFileV2Parameters

func (api *Client) UploadFileShared(ctx context.Context, p UploadFileParameters) (*File, error) {
	return api.UploadFileV2Context(ctx, p)
}

type RichTextSectionMessageMentionElement struct {
	Type                                      RichTextSectionElementType
	ChannelID, MessageTS, AuthorID, Text, URL string
	Style                                     *RichTextSectionTextStyle
}

func (r RichTextSectionMessageMentionElement) RichTextSectionElementType() RichTextSectionElementType {
	return r.Type
}

var DefaultUserAgent string

type UserProfileChangedEvent struct {
	User User `json:"user"`
}
END
substitute 1 slackgo/websocket_files.go 'type fileActionEvent struct {' $'type fileActionEvent struct {\n\tUserID string `json:"user_id"`'
substitute 1 mautrix-slack/pkg/connector/handlematrix.go 's.Client.UploadFileContext(' 's.Client.UploadFileShared('
substitute 1 mautrix-slack/pkg/msgconv/matrixfmt/blocks.go 'NewRichTextPreformatted(border, language, ' 'NewRichTextPreformatted(border + 0*len(language), '
substitute 2 mautrix-slack/pkg/msgconv/blocks.go 'e.Language' '""'

cat >> go.mod <<END
require $bridge $bridge_version
replace github.com/slack-go/slack => ./slackgo
replace $bridge => ./mautrix-slack
END
cat > tools.go <<END
//go:build tools

package tools

import _ "$bridge/cmd/mautrix-slack"
END
go build -mod=mod -tags nocrypto -ldflags "-s -w -X main.Tag=$bridge_version" -o "$out.new" "$bridge/cmd/mautrix-slack"
mv "$out.new" "$out"
rm -rf "$work"
