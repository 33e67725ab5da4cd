package llama

// LoadParts is LoadWeights with as many numbers of a table at once as a test wants.
var LoadParts = (*Model).loadParts
