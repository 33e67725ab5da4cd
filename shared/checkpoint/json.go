package checkpoint

import (
	"encoding/json"
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
)

// UnmarshalJSON is json.Unmarshal for a file that is not trusted: of two values under one key,
// programs take one or the other, so such a file is refused.
func UnmarshalJSON(data []byte, into any) error {
	return jsonv2.Unmarshal(data, into, json.DefaultOptionsV1(), jsontext.AllowDuplicateNames(false))
}
