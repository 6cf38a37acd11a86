//go:build tools

// Package h2spec pins the conformance tester; the last version that is a usable Go module.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
