(** * The operators of an ONNX file, read inside Coq

    - [fields]: a protocol buffers message as its fields, each with the byte at which it stands;
    - [read]: the operators of a file, in its order, each with the place of its weights: Conv, Gemm,
      Sigmoid, Mul, ReduceMean, GlobalAveragePool, Add, Div by a constant; Cast and Flatten rename, x
      times its Sigmoid is SiLU, Softmax is the last. [None] if anything else is met.

    A definition, to be read: it says what network a file stands for, and follows onnxfile.py and
    network.py. Field numbers are those of onnx.proto3. Numbers that are not in the raw data of a float
    tensor are refused. Rests on File.v. *)

From Coq Require Import List ZArith NArith Bool Uint63 String Ascii.
From Lastbit Require Import operations.Convolution onnx.File onnx.Normal.
Import ListNotations.
Open Scope N_scope.

Definition bytes := list int.
Definition n_of (b : int) : N := Z.to_N (to_Z b).
Definition skip (n : N) (l : bytes) : bytes := N.iter n (@tl int) l.

(** ** Messages *)

(** A varint: its value, its length, and what follows. *)
Fixpoint varint (l : bytes) (factor : N) : N * N * bytes :=
  match l with
  | [] => (0, 0, [])
  | b :: l' => if n_of b <? 128 then (n_of b * factor, 1, l')
               else let '(v, k, l'') := varint l' (128 * factor) in ((n_of b - 128) * factor + v, k + 1, l'')
  end.

(** Number; value, if it is a varint; or where it stands, its length, and the file from there on. *)
Record field := { number : N; number_value : option N; start : N; length_of : N; body : bytes }.

Fixpoint fields (fuel : nat) (at_ end_ : N) (l : bytes) : list field :=
  match fuel with
  | O => []
  | S fuel' =>
      if end_ <=? at_ then [] else
      let '(key, k, l1) := varint l 1 in let '(v, k', l2) := varint l1 1 in
      match key mod 8 with
      | 0 => {| number := key / 8; number_value := Some v; start := at_; length_of := 0; body := [] |}
             :: fields fuel' (at_ + k + k') end_ l2
      | 2 => {| number := key / 8; number_value := None; start := at_ + k + k'; length_of := v; body := l2 |}
             :: fields fuel' (at_ + k + k' + v) end_ (skip v l2)
      | 5 => fields fuel' (at_ + k + 4) end_ (skip 4 l1)
      | 1 => fields fuel' (at_ + k + 8) end_ (skip 8 l1)
      | _ => []
      end
  end.

Definition many : nat := 200 * 100.
Definition inside_of (f : field) : list field := fields many (start f) (start f + length_of f) (body f).
Definition all_of (n : N) (m : list field) : list field := filter (fun f => number f =? n) m.
Definition text (f : field) : string := string_of_list_ascii (map (fun b => ascii_of_N (n_of b)) (firstn (N.to_nat (length_of f)) (body f))).
Definition texts (n : N) (m : list field) : list string := map text (all_of n m).
Definition text_at (n : N) (m : list field) : string := match texts n m with s :: _ => s | [] => ""%string end.

(** Numbers that stand one by one, or packed. *)
Fixpoint varints (fuel : nat) (l : bytes) : list N :=
  match fuel, l with
  | S fuel', _ :: _ => let '(v, _, l') := varint l 1 in v :: varints fuel' l'
  | _, _ => []
  end.
Definition numbers (n : N) (m : list field) : list N :=
  flat_map (fun f => match number_value f with
                     | Some v => [v]
                     | None => varints (N.to_nat (length_of f)) (firstn (N.to_nat (length_of f)) (body f))
                     end) (all_of n m).
Definition number_at (n : N) (m : list field) : N := match numbers n m with v :: _ => v | [] => 0 end.

(** ** Tensors and operators *)

Record constant := { name : string; dims : list N; place_of : N }.

(** A float tensor (type 1) whose raw data (field 9) lie in the file. *)
Definition constant_of (f : field) : list constant :=
  let m := inside_of f in
  match all_of 9 m with
  | [raw] => if (number_at 2 m =? 1) && (number_at 14 m =? 0) && (length_of raw =? 4 * fold_right N.mul 1 (numbers 1 m))
             then [{| name := text_at 8 m; dims := numbers 1 m; place_of := start raw |}] else []
  | _ => []
  end.

Record operator := { kind : string; reads : list string; writes : list string; attributes : list (string * list N) }.

(** Attributes by name: an integer (field 3) or integers (field 8). *)
Definition operator_of (f : field) : operator :=
  let m := inside_of f in
  {| kind := if String.eqb (text_at 7 m) "" then text_at 4 m else "of another domain"; reads := texts 1 m; writes := texts 2 m;
     attributes := map (fun a => let b := inside_of a in (text_at 1 b, (numbers 3 b ++ numbers 8 b)%list)) (all_of 5 m) |}.

Definition attribute (o : operator) (a : string) (default : list N) : list N :=
  match find (fun x => String.eqb (fst x) a) (attributes o) with Some (_, v) => v | None => default end.

(** An attribute that is there has this value. *)
Fixpoint same (a b : list N) : bool :=
  match a, b with [], [] => true | x :: a', y :: b' => (x =? y) && same a' b' | _, _ => false end.
Definition has (o : operator) (a : string) (v : list N) : bool := same (attribute o a v) v.

(** ** The network *)

(** What a name stands for: an operator's tensor, or the sigmoid of one that is not yet multiplied. *)
Inductive meaning := Node (i : nat) | SigmoidOf (i : nat).

Record state := { known : list (string * meaning); made : list node; shapes : list tensor }.

Definition look (s : state) (x : string) : option meaning :=
  match find (fun e => String.eqb (fst e) x) (known s) with Some (_, m) => Some m | None => None end.
Definition called (s : state) (x : string) (m : meaning) : state := {| known := (x, m) :: known s; made := made s; shapes := shapes s |}.
Definition make (s : state) (x : string) (n : node) : state :=
  {| known := (x, Node (List.length (made s))) :: known s; made := made s ++ [n]; shapes := shapes s ++ [tensor_of (shapes s) 0 n] |}.

Definition constant_named (cs : list constant) (x : string) : option constant := find (fun c => String.eqb (name c) x) cs.

Definition extent (size before after kernel stride : N) : nat := N.to_nat ((size + before + after - kernel) / stride + 1).

Definition convolve (s : state) (o : operator) (y : string) (i : nat) (w b : constant) : option state :=
  let t := nth i (shapes s) nowhere in
  match dims w, dims b, attribute o "strides" [1; 1], attribute o "pads" [0; 0; 0; 0], attribute o "group" [1],
        attribute o "dilations" [1; 1] with
  | [outs; per; kh; kw], [outs'], [sy; sx], [above; before; below; behind], [group], [1; 1] =>
      if (outs =? outs') && (per * group =? N.of_nat (channels t)) && has o "kernel_shape" [kh; kw] && has o "auto_pad" [0; 0] then
        Some (make s y (Conv i None [] {| weights_at := place_of w; bias_at := place_of b; w_outputs := N.to_nat outs;
          w_groups := N.to_nat group; w_rows := N.to_nat kh; w_cols := N.to_nat kw;
          w_stride_y := N.to_nat sy; w_stride_x := N.to_nat sx; w_top := N.to_nat above; w_left := N.to_nat before;
          w_height := extent (N.of_nat (height t)) above below kh sy;
          w_width := extent (N.of_nat (width t)) before behind kw sx |}))
      else None
  | _, _, _, _, _, _ => None
  end.

Definition dense (s : state) (o : operator) (y : string) (i : nat) (w b : constant) : option state :=
  let t := nth i (shapes s) nowhere in
  match dims w, dims b, attributes o with
  | [outs; ins], [outs'], [(a, [1])] =>
      if String.eqb a "transB" && (outs =? outs') && (ins =? N.of_nat (units_of t)) && (units_of t =? channels t)%nat
      then Some (make s y (Conv i None [] {| weights_at := place_of w; bias_at := place_of b; w_outputs := N.to_nat outs;
        w_groups := 1; w_rows := 1; w_cols := 1; w_stride_y := 1; w_stride_x := 1; w_top := 0; w_left := 0;
        w_height := 1; w_width := 1 |})) else None
  | _, _, _ => None
  end.

Definition step (cs : list constant) (s : state) (o : operator) : option state :=
  match writes o, map (look s) (reads o), map (constant_named cs) (reads o) with
  | [y], [Some m], _ =>
      match m with
      | SigmoidOf _ => None
      | Node i =>
          if String.eqb (kind o) "Cast" && has o "to" [1] || String.eqb (kind o) "Flatten" && has o "axis" [1] then Some (called s y m)
          else if String.eqb (kind o) "Sigmoid" then Some (called s y (SigmoidOf i))
          else if String.eqb (kind o) "GlobalAveragePool" then Some (make s y (Average i))
          else if String.eqb (kind o) "ReduceMean" then
            match attribute o "axes" [], attribute o "keepdims" [1] with [2; 3], [1] => Some (make s y (Average i)) | _, _ => None end
          else None
      end
  | [y], [Some (Node i); None], [_; Some d] =>
      if String.eqb (kind o) "Div" then
        match dims d with [1] => if (channels (nth i (shapes s) nowhere) =? 1)%nat then Some (make s y (Divide i (place_of d))) else None | _ => None end
      else None
  | [y], [Some (Node i); None; None], [_; Some w; Some b] =>
      if String.eqb (kind o) "Conv" then convolve s o y i w b
      else if String.eqb (kind o) "Gemm" then dense s o y i w b else None
  | [y], [Some (Node i); Some (Node j)], _ => if String.eqb (kind o) "Add" then Some (make s y (Plus [i; j])) else None
  | [y], [Some (Node i); Some (SigmoidOf j)], _ =>
      if String.eqb (kind o) "Mul" then
        if (i =? j)%nat then Some (make s y (Curve i))
        else let s' := make s ""%string (Squash j) in Some (make s' y (Gated i (List.length (made s))))
      else None
  | _, _, _ => None
  end.

(** All but the last operator, which is Softmax of the last tensor and writes the file's answer. *)
Fixpoint steps (cs : list constant) (s : state) (answer : string) (os : list operator) : option (list node) :=
  match os with
  | [] => None
  | [o] => match writes o, map (look s) (reads o) with
           | [y], [Some (Node i)] =>
               if String.eqb (kind o) "Softmax" && has o "axis" [1] && String.eqb y answer && (S i =? List.length (made s))%nat then normal_form (made s) else None
           | _, _ => None
           end
  | o :: os' => match step cs s o with Some s' => steps cs s' answer os' | None => None end
  end.

(** The last three sizes of a tensor's shape: type, tensor type, shape, dimensions. *)
Definition sizes_of (f : field) : list N :=
  flat_map (fun t => flat_map (fun u => flat_map (fun s => map (fun d => number_at 1 (inside_of d)) (all_of 1 (inside_of s)))
    (all_of 2 (inside_of u))) (all_of 1 (inside_of t))) (all_of 2 (inside_of f)).

Definition read (file : bytes) : option (list node) :=
  match all_of 7 (fields many 0 (n_of (fold_left (fun n _ => n + 1)%uint63 file 0%uint63)) file) with
  | [graph] =>
      let m := inside_of graph in
      match all_of 11 m, texts 1 (flat_map inside_of (all_of 12 m)) with
      | [image], [answer] =>
          match sizes_of image with
          | [_; c; h; w] =>
              let start := make {| known := []; made := []; shapes := [] |} (text_at 1 (inside_of image)) (Bytes (N.to_nat c) (N.to_nat h) (N.to_nat w)) in
              steps (flat_map constant_of (all_of 5 m)) start answer (map operator_of (all_of 1 m))
          | _ => None
          end
      | _, _ => None
      end
  | _ => None
  end.

(** The operators that were found, if any. *)
Definition if_any (found : option (list node)) : list node := match found with Some l => l | None => [] end.
