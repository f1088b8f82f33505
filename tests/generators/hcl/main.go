// hcl-render is the generator of the tests: it reads the *.hcl files of the directory that it is started in, and writes each block
// "manifest" of them as a JSON document. Values may use local.NAME of the blocks "locals", env.NAME, and a few functions.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

var schema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "locals"}, {Type: "manifest"}}}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// attributes evaluates a block that holds nothing else.
func attributes(block *hcl.Block, context *hcl.EvalContext) map[string]cty.Value {
	found, problems := block.Body.JustAttributes()
	values := map[string]cty.Value{}
	for name, attribute := range found {
		value, more := attribute.Expr.Value(context)
		problems = append(problems, more...)
		values[name] = value
	}
	if problems.HasErrors() {
		fail(problems)
	}
	return values
}

func environment() cty.Value {
	values := map[string]cty.Value{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = cty.StringVal(value)
	}
	return cty.ObjectVal(values)
}

func main() {
	files, err := filepath.Glob("*.hcl")
	if err != nil {
		fail(err)
	}
	parser := hclparse.NewParser()
	var blocks hcl.Blocks
	for _, name := range append(files, os.Args[1:]...) {
		file, problems := parser.ParseHCLFile(name)
		if problems.HasErrors() {
			fail(problems)
		}
		content, problems := file.Body.Content(schema)
		if problems.HasErrors() {
			fail(problems)
		}
		blocks = append(blocks, content.Blocks...)
	}
	context := &hcl.EvalContext{
		Variables: map[string]cty.Value{"env": environment()},
		Functions: map[string]function.Function{"upper": stdlib.UpperFunc, "merge": stdlib.MergeFunc, "join": stdlib.JoinFunc},
	}
	locals := map[string]cty.Value{}
	for _, block := range blocks.OfType("locals") {
		for name, value := range attributes(block, context) {
			locals[name] = value
		}
	}
	context.Variables["local"] = cty.ObjectVal(locals)
	for _, block := range blocks.OfType("manifest") {
		object := map[string]json.RawMessage{}
		for name, value := range attributes(block, context) {
			if object[name], err = ctyjson.Marshal(value, value.Type()); err != nil {
				fail(err)
			}
		}
		text, err := json.Marshal(object)
		if err != nil {
			fail(err)
		}
		fmt.Printf("---\n%s\n", text)
	}
}
