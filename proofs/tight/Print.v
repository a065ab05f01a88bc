From Coq Require Import ZArith Uint63.
From Lastbit Require Import checker.Program onnx.Onnx tight.Decided tight.Data.
Time Eval vm_compute in match decide file (if_any (read file)) flags ratio boundary with
  | Some r => (ceil_div (r * 10 ^ 6)%Z one, ceil_div (upper_of 10 r * 10 ^ 6)%Z one) | None => (- 1, 0)%Z end.
