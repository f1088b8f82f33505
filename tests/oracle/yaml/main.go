// Reads YAML as kubectl does and prints what it makes of it: the oracle of common/data/yaml.c.
//
//	yaml scalars FILE    one scalar per line, each read as a value and as a key
//	yaml documents FILE  texts separated by lines of "====="
//
// Output: lines of JSON {"yaml": text, "json": [documents]}, without "json" where kubectl refuses.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type result struct {
	YAML string            `json:"yaml"`
	JSON []json.RawMessage `json:"json,omitempty"`
	None bool              `json:"none,omitempty"` // accepted, but no document
}

func encode(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(out.Bytes())
}

// As k8s.io/cli-runtime/pkg/resource StreamVisitor reads a file, and unstructured decodes it.
func read(text string) ([]json.RawMessage, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	documents := []json.RawMessage{}
	for {
		ext := runtime.RawExtension{}
		if err := decoder.Decode(&ext); err != nil {
			if err == io.EOF {
				return documents, nil
			}
			return nil, err
		}
		ext.Raw = bytes.TrimSpace(ext.Raw)
		if len(ext.Raw) == 0 || bytes.Equal(ext.Raw, []byte("null")) {
			continue
		}
		var value any
		if err := utiljson.Unmarshal(ext.Raw, &value); err != nil {
			return nil, err
		}
		documents = append(documents, encode(value))
	}
}

func report(text string) {
	documents, err := read(text)
	out := result{YAML: text, JSON: documents}
	out.None = err == nil && len(documents) == 0
	for _, document := range documents {
		if bytes.Contains(document, []byte("\\u0000")) { // Gitmoor refuses these
			out.JSON = nil
		}
	}
	fmt.Printf("%s\n", encode(out))
}

func main() {
	data, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	if os.Args[1] == "documents" {
		for _, text := range strings.Split(string(data), "=====\n") {
			report(text)
		}
		return
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		report("k: " + line + "\n")
		report(line + ": v\n")
	}
}
