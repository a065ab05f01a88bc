(** * What lastbit proves

    The definitions that a reader has to believe, and nothing else: float32 arithmetic as a set of
    possible results, a network, its executions, neighbouring images, and the statement. They follow
    docs/bound.md, sections 1 and 2, and contain no proof.

    A network is written unit by unit: each unit (one number that is computed) names the units it
    reads, all of them before it. There are five kinds: pixels, sums, sigmoid, SiLU, and products of
    two units. A convolution is a sum for each of its outputs; so are an addition, a mean, and a
    multiplication by a constant. Runtimes do not run a file operator by operator: they add a
    shortcut to the convolution before it, and multiply constants beforehand. So what a file's
    operators add up is *one* sum, with all constant factors in it, and an execution evaluates the
    sum in any way. onnx/Onnx.v says which units a file stands for.

    Whatever a runtime returns is a value of the relations below; they allow more than any runtime
    does, and the theorems hold for everything that they allow. *)

From Coq Require Import Reals List ZArith Permutation.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Arithmetic (assumption [any-order-binary32]) *)

Definition u : R := / 2 ^ 24.             (* unit roundoff of binary32 *)
Definition eta : R := / 2 ^ 126.          (* the least normal number *)
Definition largest : R := (2 - / 2 ^ 23) * 2 ^ 127.  (* the largest finite number *)

(** A computed value is a real number, or infinite or not a number. *)
Inductive value := Finite (r : R) | Overflow.

(** One operation, whose exact result is [t], returns [v]: finite where [t] is in range, and then
    within [u |t|], or, if [t] is below the normal numbers, within [eta]; 0 where [t] is 0. Round to
    nearest with any ties, flush to zero and every wider format do this (binary32/Rounding.v).
    Nothing is known of [v] if [t] is out of range. *)
(* map: assumes any-order-binary32 *)
Definition rounds (t : R) (v : value) : Prop :=
  Rabs t <= largest -> exists r, v = Finite r /\
  (Rabs (r - t) <= u * Rabs t \/ 0 < Rabs t < eta /\ Rabs (r - t) <= eta).

(** A power of two moves the exponent and keeps the digits: what it is multiplied with, or what it
    divides, comes back exactly, unless it underflows. *)
Definition power_of_two (w : R) : Prop := exists k : Z, Rabs w = powerRZ 2 k.

Definition shifts (t : R) (v : value) : Prop :=
  Rabs t <= largest -> exists r, v = Finite r /\ (r = t \/ 0 < Rabs t < eta /\ Rabs (r - t) <= eta).

(** An operand may be read as 0 if it is subnormal. *)
Definition reads (x x' : R) : Prop := x' = x \/ (x' = 0 /\ Rabs x <= eta).

(** The copy of an operand. *)
Definition copies (a v : value) : Prop :=
  forall p, a = Finite p -> exists p', reads p p' /\ v = Finite p'.

(** [f] of two operands, rounded. Here and below nothing is known if an operand is not finite. *)
Definition computes (f : R -> R -> R) (a b v : value) : Prop :=
  forall p q, a = Finite p -> b = Finite q ->
  exists p' q', reads p p' /\ reads q q' /\ rounds (f p' q') v.

(** [a / b], rounded. Nothing is known of it if the divisor is 0 or subnormal. *)
Definition computes_quotient (a b v : value) : Prop :=
  forall p q, a = Finite p -> b = Finite q -> eta < Rabs q ->
  exists p', reads p p' /\ rounds (p' / q) v.

(** [a / b], or [a] times the rounded reciprocal of [b]. *)
Definition divides (a b v : value) : Prop :=
  computes_quotient a b v \/
  exists i, computes_quotient (Finite 1) b i /\ computes Rmult a i v.

(** Two numbers added; adding 0 does not round. *)
Definition adds (a b v : value) : Prop :=
  forall p q, a = Finite p -> b = Finite q ->
  exists p' q', reads p p' /\ reads q q' /\ rounds (p' + q') v /\
  (p' = 0 -> v = Finite q') /\ (q' = 0 -> v = Finite p').

(** A constant [c] times a number, and a number over a constant. *)
Definition multiplies (c a v : value) : Prop :=
  forall p q, c = Finite p -> a = Finite q ->
  exists p' q', reads p p' /\ reads q q' /\ rounds (p' * q') v /\
  (power_of_two p -> shifts (p' * q') v).

Definition divides_by (c a v : value) : Prop :=
  forall p q, c = Finite p -> a = Finite q -> eta < Rabs p ->
  exists q', reads q q' /\ rounds (q' / p) v /\ (power_of_two p -> shifts (q' / p) v).

(** The fused [c * a + b]. Where one of the two is 0 it is the other one. *)
Definition fuses (c a b v : value) : Prop :=
  forall p q s, c = Finite p -> a = Finite q -> b = Finite s ->
  exists p' q' s', reads p p' /\ reads q q' /\ reads s s' /\ rounds (p' * q' + s') v /\
  (p' * q' = 0 -> v = Finite s') /\ (s' = 0 -> power_of_two p -> shifts (p' * q') v).

(** ** 2. Sums, in all the ways in which a runtime may evaluate them *)

(** A term is a number, which a unit has computed or which stands in the file, and the constants
    by which it is multiplied or divided. *)
Inductive factor := Times (c : R) | Over (c : R).
Definition term : Type := list factor * R.

Definition number (f : factor) : R := match f with Times c => c | Over c => / c end.
Definition constant (fs : list factor) : R := fold_right Rmult 1 (map number fs).
Definition exact (t : term) : R := constant (fst t) * snd t.
Definition with_factors (fs : list factor) (t : term) : term := (fs ++ fst t, snd t).

Definition vanishes (t : term) : Prop := exact t = 0 /\ ~ In (Over 0) (fst t).
Definition all_vanish (l : list term) : Prop := Forall vanishes l.

(** Constants may be multiplied and divided by each other beforehand, in any order: [folds fs v] if
    [v] is what comes of the factors [fs], each of them used once. *)
Inductive folds : list factor -> value -> Prop :=
| folds_number c : folds [Times c] (Finite c)
| folds_product fs gs a b v : folds fs a -> folds gs b -> multiplies a b v -> multiplies b a v ->
    folds (fs ++ gs) v
| folds_quotient fs cs a d v : folds fs a -> folds (map Times cs) d -> divides_by d a v ->
    folds (map Over cs ++ fs) v
| folds_reciprocal cs d v : folds (map Times cs) d -> divides_by d (Finite 1) v ->
    folds (map Over cs) v
| folds_any_order fs gs v : Permutation fs gs -> folds fs v -> folds gs v.

(** The same terms, their factors in another order. *)
Definition alike : list term -> list term -> Prop :=
  Forall2 (fun t t' => Permutation (fst t) (fst t') /\ snd t = snd t').

(** A sum is evaluated by any tree, in any order, with or without fused multiply-add. A constant,
    folded or not, may multiply or divide a single number or a partial sum: then it is a factor of
    all terms of it. Terms that are exactly 0 may be left out, and 0 may be added to anything. *)
(* map: assumes rewritten-sum-scale-hide *)
Inductive sum : list term -> value -> Prop :=
| sum_number x v : copies (Finite x) v -> sum [([], x)] v
| sum_times fs l c a v : l <> [] -> folds fs c -> sum l a -> multiplies c a v ->
    sum (map (with_factors fs) l) v
| sum_over cs l d a v : l <> [] -> folds (map Times cs) d -> sum l a -> divides_by d a v ->
    sum (map (with_factors (map Over cs)) l) v
| sum_adds l1 l2 a b v : sum l1 a -> sum l2 b -> adds a b v -> sum (l1 ++ l2) v
| sum_fuses fs l1 l2 c a b v : l1 <> [] -> folds fs c -> sum l1 a -> sum l2 b -> fuses c a b v ->
    sum (map (with_factors fs) l1 ++ l2) v
| sum_zeros z : all_vanish z -> sum z (Finite 0)
| sum_any_order l l' l'' v : Permutation l l' -> alike l' l'' -> sum l v -> sum l'' v.

(** ** 3. The functions of a runtime's library (the other four assumptions) *)

Definition sigmoid (z : R) : R := / (1 + exp (- z)).
Definition silu (z : R) : R := z * sigmoid z.

(** A library's [f], within [far]; where [|z| <= 2^-6] within [near], and where [|z| <= 2^-27]
    within [at_zero]. *)
Definition approximates (f far near at_zero : R -> R) (a v : value) : Prop :=
  forall z, a = Finite z -> exists r, v = Finite r /\ Rabs (r - f z) <= far z /\
                            (Rabs z <= / 2 ^ 6 -> Rabs (r - f z) <= near z) /\
                            (Rabs z <= / 2 ^ 27 -> Rabs (r - f z) <= at_zero z).

(** [sigmoid-absolute-4u-2u-u/16] *)
(* map: assumes sigmoid-absolute-4u-2u-u/16 *)
Definition computes_sigmoid : value -> value -> Prop :=
  approximates sigmoid (fun _ => 4 * u) (fun _ => 2 * u) (fun _ => u / 16).

(** [silu-absolute-6u|z|-3u|z|-u|z|/16] *)
(* map: assumes silu-absolute-6u|z|-3u|z|-u|z|/16 *)
Definition computes_silu : value -> value -> Prop :=
  approximates silu (fun z => 6 * u * Rabs z + eta) (fun z => 3 * u * Rabs z + eta)
                    (fun z => u / 16 * Rabs z + eta).

(** [exp-relative-2^-20], of arguments that are not positive *)
(* map: assumes exp-relative-2^-20 *)
Definition computes_exp (a v : value) : Prop :=
  forall t, a = Finite t -> t <= 0 /\
  exists r, v = Finite r /\ Rabs (r - exp t) <= / 2 ^ 20 * exp t + eta.

(** [softmax-max-subtracted]: the [n] logits [z] to the probabilities [p], by the differences [d]
    from the largest logit, their exponentials [e] and the sum [s] of these. No [p] exceeds 1. *)
(* map: assumes softmax-max-subtracted *)
Definition computes_softmax (n : nat) (z p : nat -> value) : Prop :=
  exists k d e s,
    (k < n)%nat /\
    (forall j a b, (j < n)%nat -> z j = Finite a -> z k = Finite b -> a <= b) /\
    (forall j, (j < n)%nat -> computes Rminus (z j) (z k) (d j) /\ computes_exp (d j) (e j)) /\
    (forall r, (forall j, (j < n)%nat -> e j = Finite (r j)) ->
               sum (map (fun j => ([], r j)) (seq 0 n)) s) /\
    (forall j, (j < n)%nat -> divides (e j) s (p j)) /\
    (forall j r, (j < n)%nat -> p j = Finite r -> 0 <= r <= 1).

(** ** 4. Networks and their executions *)

(** One unit. Its operands are the numbers of earlier units. *)
Inductive operation :=
| Pixel (p : nat)                                (* a byte of the image, as a float *)
| Sum (ws : list (list factor * nat)) (bs : list term)  (* units with factors; constants *)
| Sigmoid (j : nat)
| Silu (j : nat)
| Gate (j s : nat).                              (* product of two units *)

Definition operands (o : operation) : list nat :=
  match o with
  | Pixel _ => []
  | Sum ws _ => map snd ws
  | Sigmoid j | Silu j => [j]
  | Gate i j => [i; j]
  end.

(** The terms, given the units' numbers. *)
Definition terms (ws : list (list factor * nat)) (bs : list term) (r : nat -> R) : list term :=
  map (fun w => (fst w, r (snd w))) ws ++ bs.

(** Unit [o] computes [y] from the byte image [v] and the values [x] of the units before it. What it
    returns may be kept in a wider format, as any partial sum may. *)
Definition performs (o : operation) (v : nat -> Z) (x : nat -> value) (y : value) : Prop :=
  match o with
  | Pixel p => y = Finite (IZR (v p))
  | Sum ws bs => forall r, (forall j, In j (map snd ws) -> x j = Finite (r j)) ->
      sum (terms ws bs r) y
  | Sigmoid j => computes_sigmoid (x j) y
  | Silu j => computes_silu (x j) y
  | Gate i j => computes Rmult (x i) (x j) y
  end.

(** The units in an order in which they can be computed, and which of them are the logits. *)
Record network := { pixels : nat; units : list operation; logits : list nat }.

(** One run on the image [v]: the values [x] of all units and the probabilities [p]. *)
(* map: assumes computed-once *)
Definition execution (net : network) (v : nat -> Z) (x p : nat -> value) : Prop :=
  (forall k o, nth_error (units net) k = Some o -> performs o v x (x k)) /\
  computes_softmax (length (logits net)) (fun c => x (nth c (logits net) 0%nat)) p.

(** ** 5. The statement *)

Definition image (v : nat -> Z) : Prop := forall p, (0 <= v p <= 255)%Z.

(** [v'] differs from [v] in the last bit of pixel [q], and nowhere else. *)
Definition neighbours (q : nat) (v v' : nat -> Z) : Prop :=
  v' q = Z.lxor (v q) 1 /\ forall p, p <> q -> v' p = v p.

(** In every run on every image all values and probabilities are finite. *)
Definition always_finite (net : network) : Prop :=
  forall v x p, image v -> execution net v x p ->
  (forall k, (k < length (units net))%nat -> exists r, x k = Finite r) /\
  (forall c, (c < length (logits net))%nat -> exists r, p c = Finite r).

(** For all neighbouring images and any two runs on them, on any two machines, no probability
    changes by more than [U]. *)
Definition last_bit_bound (net : network) (U : R) : Prop :=
  forall v v' q x x' p p' c y y',
  image v -> (q < pixels net)%nat -> neighbours q v v' ->
  execution net v x p -> execution net v' x' p' ->
  (c < length (logits net))%nat -> p c = Finite y -> p' c = Finite y' ->
  Rabs (y' - y) <= U.
