/* Asks a SavedModel through TensorFlow's C library: no Python in the process.

   serve_c MODEL LIBRARIES... -- INPUT OUTPUT TEXTS...

   INPUT and OUTPUT are tensors, `operation:index`, of one string input
   (batch,) and one float output. Before the question it asks a wrong one,
   with an integer for a text, whose error is printed. The answer is one line
   of numbers for each text. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

static TF_Status* status;

static void must(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(1);
}

static void keep(void* data, size_t length, void* argument) {
  (void)data, (void)length, (void)argument;
}

static TF_Output tensor(TF_Graph* graph, char* name) {
  char* colon = strrchr(name, ':');
  *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (found.oper == NULL) {
    fprintf(stderr, "no operation %s\n", name);
    exit(1);
  }
  return found;
}

int main(int count, char** words) {
  int next = 2;
  status = TF_NewStatus();
  for (; strcmp(words[next], "--"); next++) {
    TF_LoadLibrary(words[next], status);
    must(words[next]);
  }
  const char* tags[] = {"serve"};
  TF_Graph* graph = TF_NewGraph();
  TF_Session* session = TF_LoadSessionFromSavedModel(
      TF_NewSessionOptions(), NULL, words[1], tags, 1, graph, NULL, status);
  must("load");
  TF_Output input = tensor(graph, words[next + 1]);
  TF_Output output = tensor(graph, words[next + 2]);
  char** texts = words + next + 3;
  int64_t rows = count - next - 3;

  int64_t number = 7;
  TF_Tensor* wrong = TF_NewTensor(TF_INT64, NULL, 0, &number, sizeof number,
                                  keep, NULL);
  TF_Tensor* answer = NULL;
  TF_SessionRun(session, NULL, &input, &wrong, 1, &output, &answer, 1, NULL, 0,
                NULL, status);
  printf("%d\n", TF_GetCode(status));

  TF_TString* strings = calloc(rows, sizeof *strings);
  for (int i = 0; i < rows; i++) {
    TF_StringInit(&strings[i]);
    TF_StringCopy(&strings[i], texts[i], strlen(texts[i]));
  }
  TF_Tensor* batch = TF_NewTensor(TF_STRING, &rows, 1, strings,
                                  rows * sizeof *strings, keep, NULL);
  TF_SessionRun(session, NULL, &input, &batch, 1, &output, &answer, 1, NULL, 0,
                NULL, status);
  must("run");
  const float* values = TF_TensorData(answer);
  int64_t total = TF_TensorElementCount(answer);
  for (int64_t i = 0; i < total; i++) {
    printf("%.9g%c", values[i], (i + 1) % (total / rows) ? ' ' : '\n');
  }
  return 0;
}
